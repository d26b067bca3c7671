//! Patterns of channel names: `*` for any part of a name, also none, and `?` for one character.

/// Whether `name` is of the pattern; an empty pattern is every name's. Takes at most their lengths' product of steps.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    if pattern.is_empty() {
        return true;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut from) = (0, 0);
    // Where the last star stands, and what it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some('?') => (at, from) = (at + 1, from + 1),
            Some(c) if *c == name[from] => (at, from) = (at + 1, from + 1),
            Some(_) | None => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                (at, from) = (place + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_take_any_part_and_question_marks_one_character() {
        for (pattern, name, expected) in [
            ("", "anything", true),
            ("*", "", true),
            ("chat:*", "chat:a", true),
            ("chat:*", "chats:a", false),
            ("*:a", "chat:b:a", true),
            ("c?at", "chat", true),
            ("c?at", "cat", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("chat", "chat2", false),
            ("é*", "éa", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(100), &"b".repeat(255)));
    }
}
