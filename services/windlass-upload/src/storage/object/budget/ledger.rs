//! Who holds how much of a budget and who waits for it: the rules, without waiting.
//!
//! Room that comes free goes to the waiting tenant that holds least, so that of those who wait none comes to hold more than
//! its share, whatever it had when nobody else wanted any; and nobody waits while there is room. Within a tenant it is first
//! come, first served. A piece that does not fit is waited for: small ones do not overtake it.

use std::collections::{BTreeMap, VecDeque};

use windlass_task::Tenant;

/// A wish for room, by when it came.
pub(super) type Wish = u64;

/// The account of a budget.
#[derive(Debug)]
pub(super) struct Ledger {
    total: usize,
    free: usize,
    next: Wish,
    /// Those who hold or wait.
    tenants: BTreeMap<Tenant, Account>,
    /// What tenants may hold here of what they may hold in all processes.
    parts: BTreeMap<Tenant, Part>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    bytes: usize,
    /// The most that was held and waited for since somebody asked.
    most: usize,
}

/// What a tenant holds, and the most that it would have held since somebody asked last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) held: usize,
    pub(crate) most: usize,
}

#[derive(Debug, Default)]
struct Account {
    held: usize,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    wish: Wish,
    price: usize,
    limit: usize,
}

impl Account {
    /// The first that waits, unless the tenant's own limit holds it up. Whoever holds nothing may always have one piece.
    fn head(&self, part: Option<&Part>) -> Option<&Waiting> {
        let head = self.waiting.front()?;
        let limit = part.map_or(head.limit, |part| part.bytes.min(head.limit));
        (self.held == 0 || self.held + head.price <= limit).then_some(head)
    }

    fn wanted(&self) -> usize {
        self.held + self.waiting.iter().map(|waiting| waiting.price).sum::<usize>()
    }
}

impl Ledger {
    pub(super) fn new(total: usize) -> Self {
        Self {
            total,
            free: total,
            next: 0,
            tenants: BTreeMap::new(),
            parts: BTreeMap::new(),
        }
    }

    /// Gives a tenant a part of what it may hold in all processes, or lets it hold what its wishes say.
    pub(super) fn allot(&mut self, tenant: &Tenant, bytes: Option<usize>) {
        match bytes {
            Some(bytes) => {
                let most = self.parts.get(tenant).map_or(0, |part| part.most);
                self.parts.insert(tenant.clone(), Part { bytes, most });
            }
            None => drop(self.parts.remove(tenant)),
        }
    }

    /// What a tenant with a part needs.
    pub(super) fn need(&mut self, tenant: &Tenant) -> Need {
        let account = self.tenants.get(tenant);
        let (held, wanted) = account.map_or((0, 0), |account| (account.held, account.wanted()));
        let most = self.parts.get_mut(tenant).map(|part| std::mem::take(&mut part.most));
        Need {
            held,
            most: most.unwrap_or(0).max(wanted),
        }
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    pub(super) fn free(&self) -> usize {
        self.free
    }

    /// Whether somebody waits for room, and not for his own limit.
    pub(super) fn is_crowded(&self) -> bool {
        let mut accounts = self.tenants.iter();
        accounts.any(|(tenant, account)| account.head(self.parts.get(tenant)).is_some())
    }

    /// Puts a wish behind the tenant's others; [`Ledger::grant`] says when it is fulfilled.
    pub(super) fn ask(&mut self, tenant: &Tenant, price: usize, limit: usize) -> Wish {
        let wish = self.next;
        self.next += 1;
        let account = self.tenants.entry(tenant.clone()).or_default();
        account.waiting.push_back(Waiting { wish, price, limit });
        if let Some(part) = self.parts.get_mut(tenant) {
            part.most = part.most.max(account.wanted());
        }
        wish
    }

    /// Takes back a wish that is not fulfilled yet.
    pub(super) fn withdraw(&mut self, tenant: &Tenant, wish: Wish) {
        if let Some(account) = self.tenants.get_mut(tenant) {
            account.waiting.retain(|waiting| waiting.wish != wish);
        }
        self.forget_idle(tenant);
    }

    /// The next wish that is fulfilled now, whose room is held from here on: of the tenant that holds least, and of
    /// several the one that came first.
    pub(super) fn grant(&mut self) -> Option<(Wish, usize)> {
        let (tenants, parts) = (self.tenants.iter_mut(), &self.parts);
        let heads = tenants.filter_map(|(tenant, account)| {
            let head = account.head(parts.get(tenant)).copied()?;
            Some((account, head))
        });
        let (account, head) = heads.min_by_key(|(account, head)| (account.held, head.wish))?;
        self.free = self.free.checked_sub(head.price)?;
        account.held += head.price;
        account.waiting.pop_front();
        Some((head.wish, head.price))
    }

    /// Gives room back.
    pub(super) fn give_back(&mut self, tenant: &Tenant, price: usize) {
        self.free += price;
        if let Some(account) = self.tenants.get_mut(tenant) {
            account.held = account.held.saturating_sub(price);
        }
        self.forget_idle(tenant);
    }

    fn forget_idle(&mut self, tenant: &Tenant) {
        let is_idle = |account: &Account| account.held == 0 && account.waiting.is_empty();
        if self.tenants.get(tenant).is_some_and(is_idle) {
            self.tenants.remove(tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOTAL: usize = 1_000;

    fn tenant(number: usize) -> Tenant {
        format!("t{number}").parse().unwrap()
    }

    #[derive(Debug, Clone)]
    enum Step {
        Ask { tenant: usize, price: usize },
        GiveBack(usize),
        Withdraw(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..4_usize, 1..400_usize).prop_map(|(tenant, price)| Step::Ask { tenant, price }),
            2 => (0..50_usize).prop_map(Step::GiveBack),
            1 => (0..50_usize).prop_map(Step::Withdraw),
        ]
    }

    proptest! {
        #[test]
        fn room_goes_to_who_holds_least_and_none_is_kept_from_who_waits(
            steps in prop::collection::vec(step(), 1..200),
        ) {
            // The last tenant has a limit.
            let limit = |tenant: usize| if tenant == 3 { 300 } else { usize::MAX };
            let mut ledger = Ledger::new(TOTAL);
            let mut waiting: Vec<(Wish, usize, usize)> = Vec::new();
            let mut held: Vec<(usize, usize)> = Vec::new();
            let of = |held: &[(usize, usize)], tenant: usize| -> usize {
                held.iter().filter(|(of, _)| *of == tenant).map(|(_, price)| price).sum()
            };
            for step in steps {
                match step {
                    Step::Ask { tenant: who, price } => {
                        let wish = ledger.ask(&tenant(who), price, limit(who));
                        waiting.push((wish, who, price));
                    }
                    Step::GiveBack(which) if !held.is_empty() => {
                        let (who, price) = held.remove(which % held.len());
                        ledger.give_back(&tenant(who), price);
                    }
                    Step::Withdraw(which) if !waiting.is_empty() => {
                        let (wish, who, _) = waiting.remove(which % waiting.len());
                        ledger.withdraw(&tenant(who), wish);
                    }
                    Step::GiveBack(_) | Step::Withdraw(_) => {}
                }
                let may = |held: &[(usize, usize)], who: usize, price: usize| {
                    let own = of(held, who);
                    own == 0 || own + price <= limit(who)
                };
                while let Some((wish, price)) = ledger.grant() {
                    let at = waiting.iter().position(|(known, ..)| *known == wish).expect("it was asked for");
                    let (_, who, asked) = waiting.remove(at);
                    prop_assert_eq!(price, asked);
                    prop_assert!(may(&held, who, price), "beyond its limit");
                    for other in 0..4 {
                        let first = waiting.iter().find(|(_, of, _)| *of == other);
                        let Some((later, _, price)) = first else { continue };
                        if other == who {
                            prop_assert!(*later > wish, "overtaken by the same tenant's");
                        } else if may(&held, other, *price) {
                            prop_assert!(of(&held, who) <= of(&held, other), "one that held less waits");
                        }
                    }
                    held.push((who, price));
                }
                let all: usize = held.iter().map(|(_, price)| price).sum();
                prop_assert!(all <= TOTAL);
                prop_assert_eq!(ledger.free(), TOTAL - all);
                // Who waits waits for his limit, or for more room than there is: at least the one that holds least.
                let mut heads = (0..4).filter_map(|who| {
                    let head = waiting.iter().find(|(_, of, _)| *of == who)?;
                    may(&held, who, head.2).then_some((of(&held, who), head.0, head.2))
                }).collect::<Vec<_>>();
                heads.sort_unstable();
                prop_assert_eq!(ledger.is_crowded(), !heads.is_empty());
                if let Some((_, _, price)) = heads.first() {
                    prop_assert!(*price > TOTAL - all, "there was room");
                }
            }
        }
    }

    #[test]
    fn a_part_that_shrinks_lets_nothing_in_until_enough_has_gone_and_tells_what_was_needed() {
        let mut ledger = Ledger::new(TOTAL);
        let shared = tenant(0);
        ledger.allot(&shared, Some(300));
        for _ in 0..5 {
            ledger.ask(&shared, 100, usize::MAX);
        }
        assert_eq!(std::iter::from_fn(|| ledger.grant()).count(), 3);
        assert!(!ledger.is_crowded(), "it waits for its own part alone");
        assert_eq!(ledger.need(&shared), Need { held: 300, most: 500 });
        ledger.allot(&shared, Some(200));
        ledger.give_back(&shared, 100);
        assert!(ledger.grant().is_none());
        ledger.give_back(&shared, 100);
        assert!(ledger.grant().is_some() && ledger.grant().is_none());
        ledger.allot(&shared, Some(0));
        ledger.give_back(&shared, 200);
        assert!(ledger.grant().is_some(), "who holds nothing may have one piece");
        assert_eq!(ledger.need(&shared), Need { held: 100, most: 100 });
        ledger.give_back(&shared, 100);
        ledger.allot(&shared, None);
        ledger.ask(&shared, 900, usize::MAX);
        assert!(ledger.grant().is_some());
    }

    #[test]
    fn a_tenant_that_has_taken_everything_gives_way_until_both_hold_their_share() {
        let mut ledger = Ledger::new(TOTAL);
        let (greedy, late) = (tenant(0), tenant(1));
        for _ in 0..20 {
            ledger.ask(&greedy, 100, usize::MAX);
        }
        let granted = std::iter::from_fn(|| ledger.grant()).count();
        assert_eq!((granted, ledger.free()), (10, 0));
        let wishes: Vec<Wish> = (0..5).map(|_| ledger.ask(&late, 100, usize::MAX)).collect();
        for wish in wishes {
            ledger.give_back(&greedy, 100);
            assert_eq!(ledger.grant(), Some((wish, 100)));
        }
        ledger.ask(&late, 100, usize::MAX);
        ledger.give_back(&late, 100);
        assert!(ledger.grant().is_some(), "both hold 500 or less");
        assert!(ledger.grant().is_none());
    }
}
