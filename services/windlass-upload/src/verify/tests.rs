//! Each harm is named as what it is, and the plan repairs it; what is alive has no flaw and is never touched.

use std::io::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use windlass_task::change::{Change, Verdict};
use windlass_task::record::Creation;
use windlass_task::store::{Options, Records};
use windlass_task::{
    Commit, Concat, EmbeddedStore, Entry, Expected, Outcome, Record, Segment, TaskId, TaskKey, fixture,
};

use super::*;
use crate::garbage;
use crate::service::{Parts, Upload};
use crate::storage::{Completion, Disk, Durability, Manifest, Transfer};

/// Longer than any safe age and lifetime of these tests.
const LATER: Duration = Duration::from_secs(3 * 24 * 3_600);
const DIGEST: &str = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";

/// A service without a listener, on places of its own.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) upload: Arc<Upload>,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(&folder.path().join("uploads"), Durability::Process).unwrap();
        Self::of(folder, Arc::new(disk), LATER)
    }

    /// With a store that is so old, if it is made now: of ids that were born since it has forgotten none.
    pub(crate) fn of(folder: tempfile::TempDir, storage: Arc<dyn Storage>, age: Duration) -> Self {
        let options = Options {
            clock: Arc::new(move || UnixMillis::from(std::time::SystemTime::now() - age)),
            ..Options::default()
        };
        // The thread of one that was dropped ends by itself.
        let opened = std::iter::from_fn(|| Some(EmbeddedStore::open(folder.path(), options.clone())));
        let mut opened = opened.skip_while(|opened| matches!(opened, Err(store::Error::LockDirectory { .. })));
        let records: Records = opened.next().expect("it goes on for ever").unwrap().into();
        let (shutdown, tracker) = (windlass_serve::Shutdown::new(), windlass_serve::Tracker::new());
        let parts = Parts::of(&records, storage, shutdown, tracker, false);
        let mut registry = prometheus_client::registry::Registry::default();
        let upload = Upload::new(&crate::Config::default(), parts, &mut registry).unwrap();
        Self { folder, upload }
    }

    /// Says that the store has forgotten nothing that is stored, so that bytes may be removed.
    async fn is_whole(&self) {
        let rebuild = &self.upload.parts.rebuild;
        if let Some(walk) = rebuild.unfinished().await.unwrap() {
            rebuild.finish(&walk).await.unwrap();
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("uploads")
    }

    fn path(&self, key: &TaskKey, kind: &str) -> PathBuf {
        let folder = self.root().join(key.tenant.as_str());
        folder
            .join(format!("{:02x}", key.id.partition().0))
            .join(format!("{}.{kind}", key.id))
    }

    async fn creation(&self, length: Option<u64>) -> Creation {
        let mut creation = fixture::creation(length);
        creation.token.generation = self.upload.store().generation(&creation.key).await.unwrap();
        creation
    }

    pub(crate) async fn commit(&self, commit: Commit) -> Entry {
        match self.upload.store().commit(commit).await.unwrap() {
            Outcome::Committed(entry) => entry,
            other => panic!("not committed: {other:?}"),
        }
    }

    async fn held(&self, record: &Record, changes: Vec<Change>) -> Record {
        let commit = Commit::held(record.key.clone(), record.token, record.received, changes);
        match self.commit(commit).await {
            Entry::Live(record) => *record,
            Entry::Gone(gone) => panic!("it is gone: {gone:?}"),
        }
    }

    async fn create(&self, creation: Creation) -> Record {
        let manifest = Manifest::of(&creation, UnixMillis::now());
        self.upload.storage().write_manifest(&manifest).await.unwrap();
        match self.commit(Commit::create(creation)).await {
            Entry::Live(record) => *record,
            Entry::Gone(gone) => panic!("it is gone: {gone:?}"),
        }
    }

    pub(crate) async fn append(&self, record: &Record, bytes: &'static [u8]) -> Record {
        let mut writer = self.upload.storage().open(record).await.unwrap();
        writer.write(Bytes::from_static(bytes)).await.unwrap();
        let stored = writer.checkpoint(None).await.unwrap();
        let change = Change::Advance {
            received: stored.received,
            segments: stored.segments,
        };
        self.held(record, vec![change]).await
    }

    async fn finish(&self, record: &Record, before: Vec<Change>, completion: Completion) -> Record {
        let verdict = completion.verdict();
        self.upload
            .storage()
            .write_completion(&record.key, &completion)
            .await
            .unwrap();
        let changes = before.into_iter().chain([Change::Finish(verdict)]);
        self.held(record, changes.collect()).await
    }

    /// A finished upload of `hello`, the two epochs that wrote it, and its digest.
    pub(crate) async fn finished(&self, concat: Option<Concat>) -> Record {
        let creation = Creation {
            concat,
            ..self.creation(Some(5)).await
        };
        let record = self.append(&self.create(creation).await, b"he").await;
        let token = windlass_task::Token {
            epoch: record.token.epoch.next(),
            holder: windlass_task::HolderId::random(),
            ..record.token
        };
        let record = self.held(&record, vec![Change::Take { token }]).await;
        let record = self.append(&record, b"llo").await;
        let completion = Completion {
            digest: Some(DIGEST.to_owned()),
            ..Completion::accepted(5)
        };
        self.finish(&record, Vec::new(), completion).await
    }

    pub(crate) async fn unfinished(&self) -> Record {
        let creation = self.creation(Some(10)).await;
        self.append(&self.create(creation).await, b"hello").await
    }

    /// An upload of which this many bytes came, a part and more.
    pub(crate) async fn in_parts(&self, bytes: usize) -> Record {
        let mut record = self.create(self.creation(Some(2 * bytes as u64)).await).await;
        let mut writer = self.upload.storage().open(&record).await.unwrap();
        writer.write(Bytes::from(vec![7; bytes])).await.unwrap();
        while let Some(multipart) = writer.reservation().await.unwrap() {
            record = self.held(&record, vec![Change::Reserve(multipart)]).await;
            writer.recorded(&record);
            writer.write(Bytes::new()).await.unwrap();
        }
        let stored = writer.checkpoint(None).await.unwrap();
        let renewal = writer.renewal().map(Change::Reserve);
        let advance = Change::Advance {
            received: stored.received,
            segments: stored.segments,
        };
        self.held(&record, renewal.into_iter().chain([advance]).collect()).await
    }

    /// One of each kind that is as it should be.
    pub(crate) async fn one_of_each(&self) -> Vec<TaskKey> {
        self.is_whole().await;
        let mut keys = vec![self.unfinished().await.key, self.finished(None).await.key];
        let empty = self.create(self.creation(Some(0)).await).await;
        keys.push(self.finish(&empty, Vec::new(), Completion::accepted(0)).await.key);
        keys.push(self.create(self.creation(None).await).await.key);

        let refused = self
            .append(&self.create(self.creation(Some(5)).await).await, b"hello")
            .await;
        let no = Completion::refused(5, "no".to_owned());
        keys.push(self.finish(&refused, Vec::new(), no).await.key);
        let held = self
            .append(&self.create(self.creation(Some(5)).await).await, b"hello")
            .await;
        let quarantine = vec![Change::Quarantine];
        keys.push(self.finish(&held, quarantine, Completion::accepted(5)).await.key);

        // Joined; one of its parts has been ended since, and its bytes stay.
        let parts = [self.partial().await, self.partial().await];
        let joined = self.join(&parts).await;
        let end = Commit::present(parts[0].key.clone(), vec![Change::Terminate]);
        self.commit(end).await;
        keys.extend(parts.map(|part| part.key));
        keys.push(joined.key);

        keys.push(self.taken_over().await.key);
        let ended = self.unfinished().await;
        let Entry::Gone(tombstone) = self
            .commit(Commit::present(ended.key.clone(), vec![Change::Terminate]))
            .await
        else {
            panic!("it is not gone")
        };
        crate::upkeep::remove_bytes(&self.upload, &tombstone).await.unwrap();
        keys.push(ended.key);
        let ended = self.unfinished().await;
        // Nobody has removed its bytes yet.
        self.commit(Commit::present(ended.key.clone(), vec![Change::Terminate]))
            .await;
        keys.push(ended.key);
        keys
    }

    async fn partial(&self) -> Record {
        let concat = Concat::Partial { adopted_by: Vec::new() };
        self.finished(Some(concat)).await
    }

    async fn join(&self, parts: &[Record]) -> Record {
        let ids: Vec<TaskId> = parts.iter().map(|part| part.key.id.clone()).collect();
        let creation = Creation {
            concat: Some(Concat::Final {
                parts: ids,
                header: "final;/files/a /files/b".to_owned(),
            }),
            ..self.creation(None).await
        };
        let joined = self.create(creation).await;
        let mut segments: Vec<Segment> = Vec::new();
        for part in parts {
            let by = joined.key.id.clone();
            self.commit(Commit::present(part.key.clone(), vec![Change::Adopt { by }]))
                .await;
            let at = segments.last().map_or(0, |last| last.end);
            segments.extend(part.segments.iter().map(|segment| Segment {
                start: segment.start + at,
                end: segment.end + at,
                ..segment.clone()
            }));
        }
        let received = segments.last().map_or(0, |last| last.end);
        let changes = vec![Change::Advance { received, segments }, Change::DeclareLength(received)];
        self.finish(&joined, changes, Completion::accepted(received)).await
    }

    /// An upload of tusd's: a second name of a file that is older than any of this.
    async fn taken_over(&self) -> Record {
        let file = self.folder.path().join("tusd");
        std::fs::write(&file, b"hello").unwrap();
        let old = std::time::SystemTime::now() - LATER;
        std::fs::File::open(&file).unwrap().set_modified(old).unwrap();
        let mut creation = self.creation(Some(5)).await;
        creation.key.id = TaskId::derived(&windlass_task::Origin::local(), [7; 10]);
        creation.aliases = vec!["24e533e02ec3bc40c387f1a0e460e216".parse().unwrap()];
        let storage = self.upload.storage();
        let segments = storage.take_in(&creation.key, &file, 5, Transfer::Link).await.unwrap();
        storage
            .write_manifest(&Manifest::of(&creation, old.into()))
            .await
            .unwrap();
        storage
            .write_completion(&creation.key, &Completion::accepted(5))
            .await
            .unwrap();
        let advance = Change::Advance { received: 5, segments };
        let commit = Commit {
            key: creation.key.clone(),
            expected: Expected::Absent,
            changes: vec![
                Change::Create(Box::new(creation)),
                advance,
                Change::Finish(Verdict::Accept),
            ],
            traceparent: None,
        };
        match self.commit(commit).await {
            Entry::Live(record) => *record,
            Entry::Gone(gone) => panic!("it is gone: {gone:?}"),
        }
    }

    fn verifier(&self, after: Duration) -> Verifier {
        let rules = Rules {
            safe_age: Duration::from_secs(24 * 3_600),
            lifetime: self.upload.config.lifetime,
            digests: true,
        };
        let (inventory, storage) = (
            Arc::clone(&self.upload.parts.inventory),
            Arc::clone(&self.upload.parts.storage),
        );
        let clock = Arc::new(move || UnixMillis::now().after(after));
        Verifier::with_clock(inventory, storage, rules, clock)
    }

    /// What is wrong, as it will be seen after this time.
    pub(crate) async fn flaws(&self, after: Duration) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut tell = |told| match told {
            Told::Found(finding) => found.push(finding),
            Told::Progress(_) => {}
        };
        self.verifier(after).run(&mut tell).await.unwrap();
        found.sort_by(|one, other| one.order().cmp(&other.order()));
        found
    }

    pub(crate) async fn collect(&self, after: Duration) -> garbage::Round {
        let clock = move || UnixMillis::now().after(after);
        let safe_age = self.upload.config.safe_age;
        garbage::collect_once(&self.upload, safe_age, clock).await.unwrap()
    }
}

fn codes(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.flaw.code()).collect()
}

fn rewrite(path: &std::path::Path, change: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed, "nothing was changed");
    std::fs::write(path, changed).unwrap();
}

#[tokio::test]
async fn what_is_as_it_should_be_has_no_flaw_and_nothing_of_it_is_collected() {
    let world = World::new();
    let keys = world.one_of_each().await;
    assert_eq!(world.flaws(LATER).await, []);
    let before = files(&world.root());
    assert_eq!(world.collect(LATER).await, garbage::Round::default());
    assert_eq!(files(&world.root()), before);
    assert!(keys.len() > 10);
}

/// All files below a folder with their sizes.
fn files(root: &std::path::Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                found.push((entry.path(), metadata.len()));
            }
        }
    }
    found.sort();
    found
}

/// A harm to a finished upload, what it must be called, and what the plan does about it.
type Harm = (&'static str, fn(&World, &Record), &'static str, Option<&'static str>);

const HARMS: &[Harm] = &[
    (
        "a segment that is cut",
        |world, record| {
            let file = std::fs::File::options().write(true).open(world.path(&record.key, "2"));
            file.unwrap().set_len(1).unwrap();
        },
        "bytes_missing",
        Some("markLost"),
    ),
    (
        "a segment that is gone",
        |world, record| std::fs::remove_file(world.path(&record.key, "1")).unwrap(),
        "bytes_missing",
        Some("markLost"),
    ),
    (
        "a bit that is flipped",
        |world, record| std::fs::write(world.path(&record.key, "1"), b"hE").unwrap(),
        "bytes_differ",
        Some("markLost"),
    ),
    (
        "a manifest that is another's",
        |world, record| {
            rewrite(&world.path(&record.key, "jsonl"), |text| {
                text.replacen("\"local\"", "\"eve\"", 1)
            })
        },
        "manifest_differs",
        None,
    ),
    (
        "a document that makes no sense",
        |world, record| rewrite(&world.path(&record.key, "jsonl"), |text| format!("{text}nonsense\n")),
        "document_unreadable",
        None,
    ),
    (
        "no completion",
        |world, record| {
            rewrite(&world.path(&record.key, "jsonl"), |text| {
                let kept = text.lines().filter(|line| !line.contains("completion"));
                kept.map(|line| format!("{line}\n")).collect()
            });
        },
        "completion_missing",
        Some("writeCompletion"),
    ),
    (
        "a completion of something else",
        |world, record| {
            rewrite(&world.path(&record.key, "jsonl"), |text| {
                text.replace("\"accepted\":true", "\"accepted\":false")
            });
        },
        "completion_differs",
        None,
    ),
    (
        "no word of where an epoch began",
        |world, record| {
            rewrite(&world.path(&record.key, "jsonl"), |text| {
                let kept = text.lines().filter(|line| !line.contains("\"epoch\":{"));
                kept.map(|line| format!("{line}\n")).collect()
            });
        },
        "bytes_unplaced",
        None,
    ),
    (
        "bytes of an epoch that was overruled",
        |world, record| std::fs::write(world.path(&record.key, "9"), b"nobody's").unwrap(),
        "leftover",
        Some("remove"),
    ),
];

#[tokio::test]
async fn each_harm_is_named_once_and_repaired_by_its_step_and_then_no_more() {
    let world = World::new();
    world.one_of_each().await;
    for (harm, harmed, code, step) in HARMS {
        let record = world.finished(None).await;
        harmed(&world, &record);
        let found = world.flaws(LATER).await;
        assert_eq!(codes(&found), [*code], "{harm}: {found:?}");
        assert_eq!(found[0].subject, record.key.to_string());
        assert_eq!(found[0].step.as_ref().map(Step::code), *step, "{harm}");
        match &found[0].step {
            Some(step) => {
                let done = apply(&world.upload, step).await;
                assert!(matches!(done, Ok(Applied::Done { .. })), "{harm}: {done:?}");
                assert_eq!(world.flaws(LATER).await, [], "{harm}");
                let again = apply(&world.upload, step).await;
                assert!(matches!(again, Ok(Applied::Past { .. })), "{harm}: {again:?}");
            }
            None => world.end(&record.key).await,
        }
    }
}

impl World {
    /// Ends an upload for good.
    async fn end(&self, key: &TaskKey) {
        let end = Commit::present(key.clone(), vec![Change::Terminate]);
        let Entry::Gone(tombstone) = self.commit(end).await else {
            panic!("it is not gone")
        };
        crate::upkeep::remove_bytes(&self.upload, &tombstone).await.unwrap();
    }
}

#[tokio::test]
async fn documents_that_are_gone_are_written_again_from_the_record() {
    let world = World::new();
    let (finished, unfinished) = (world.finished(None).await, world.unfinished().await);
    for record in [&finished, &unfinished] {
        std::fs::remove_file(world.path(&record.key, "jsonl")).unwrap();
    }
    let found = world.flaws(LATER).await;
    assert_eq!(codes(&found), ["manifest_missing", "manifest_missing"]);
    for finding in &found {
        apply(&world.upload, finding.step.as_ref().unwrap()).await.unwrap();
    }
    let found = world.flaws(LATER).await;
    // Where its second epoch began nobody knows but the record.
    assert_eq!(codes(&found), ["bytes_unplaced", "completion_missing"], "{found:?}");
    let manifest = world
        .upload
        .storage()
        .find(&unfinished.key)
        .await
        .unwrap()
        .unwrap()
        .manifest
        .unwrap();
    assert_eq!((manifest.owner, manifest.length), (unfinished.owner, Some(10)));
}

#[tokio::test]
async fn what_has_no_record_is_garbage_only_when_nobody_can_have_known_it_or_want_it() {
    let world = World::new();
    world.one_of_each().await;
    let (disk, storage) = (world.root(), world.upload.storage());
    // A creation that died before its record, with bytes.
    let orphan = world.creation(Some(10)).await;
    storage
        .write_manifest(&Manifest::of(&orphan, UnixMillis::now()))
        .await
        .unwrap();
    let mut writer = storage
        .open(&Record::create(orphan.clone(), UnixMillis(1)))
        .await
        .unwrap();
    writer.write(Bytes::from_static(b"hello")).await.unwrap();
    writer.checkpoint(None).await.unwrap();
    // Bytes and drafts alone, remains of one that is gone, and something that is none of ours.
    let alone = world.creation(None).await.key;
    std::fs::create_dir_all(world.path(&alone, "1").parent().unwrap()).unwrap();
    std::fs::write(world.path(&alone, "1"), b"bytes").unwrap();
    std::fs::write(world.path(&alone, "draft"), b"half").unwrap();
    let ended = world.unfinished().await.key;
    world.end(&ended).await;
    std::fs::write(world.path(&ended, "3"), b"late").unwrap();
    std::fs::write(disk.join("notes.txt"), b"a person's").unwrap();

    let stray = |findings: &[Finding]| {
        let strays = findings.iter().filter(|finding| finding.flaw.code() == "stray");
        assert_eq!(strays.count(), 1);
    };
    // As long as somebody may be about to record them they are nobody's business.
    let now = world.flaws(Duration::ZERO).await;
    assert_eq!(codes(&now), ["stray"], "{now:?}");
    assert_eq!(world.collect(Duration::ZERO).await, garbage::Round::default());

    let later = world.flaws(LATER).await;
    stray(&later);
    let mut found = codes(&later);
    found.sort_unstable();
    assert_eq!(found, ["leftover", "orphan", "stray", "undocumented"], "{later:?}");
    let collected = later.iter().filter(|finding| finding.collected);
    assert_eq!(collected.count(), 3);

    let round = world.collect(LATER).await;
    assert_eq!((round.found, round.removed, round.failed), (3, 3, 0));
    assert!(round.freed > 9 + 5 + 4);
    assert_eq!(codes(&world.flaws(LATER).await), ["stray"]);
    assert_eq!(storage.find(&orphan.key).await.unwrap(), None);
    assert!(disk.join("notes.txt").is_file());
    assert_eq!(world.collect(LATER).await, garbage::Round::default());
}

#[tokio::test]
async fn a_finished_upload_without_a_record_is_never_collected_and_the_plan_brings_it_back() {
    let world = World::new();
    let creation = world.creation(Some(5)).await;
    let storage = world.upload.storage();
    storage
        .write_manifest(&Manifest::of(&creation, UnixMillis::now()))
        .await
        .unwrap();
    let mut writer = storage
        .open(&Record::create(creation.clone(), UnixMillis(1)))
        .await
        .unwrap();
    writer.write(Bytes::from_static(b"hello")).await.unwrap();
    writer.checkpoint(Some(&Completion::accepted(5))).await.unwrap();
    assert_eq!(world.collect(LATER).await, garbage::Round::default());
    let found = world.flaws(LATER).await;
    assert_eq!(codes(&found), ["unrecorded"]);
    let step = found[0].step.clone().unwrap();
    assert!(matches!(apply(&world.upload, &step).await, Ok(Applied::Done { .. })));
    assert!(matches!(apply(&world.upload, &step).await, Ok(Applied::Past { .. })));
    assert_eq!(world.flaws(LATER).await, []);
    let entry = world.upload.store().load(&creation.key).await.unwrap();
    assert!(matches!(entry, Some(Entry::Live(record)) if record.received == 5));
}

#[tokio::test]
async fn what_a_store_has_forgotten_is_made_again_and_never_collected() {
    let world = World::new();
    let (finished, unfinished) = (world.finished(None).await.key, world.unfinished().await.key);
    let World { folder, upload } = world;
    drop(upload);
    for file in ["tasks.sqlite3", "tasks.sqlite3-wal", "tasks.sqlite3-shm"] {
        let _ = std::fs::remove_file(folder.path().join(file));
    }
    let disk = Disk::open(&folder.path().join("uploads"), Durability::Process).unwrap();
    let world = World::of(folder, Arc::new(disk), Duration::ZERO);
    assert_eq!(world.collect(LATER).await, garbage::Round::default());
    let found = world.flaws(LATER).await;
    assert_eq!(codes(&found), ["forgotten", "forgotten"]);
    for finding in &found {
        let done = apply(&world.upload, finding.step.as_ref().unwrap()).await;
        assert!(matches!(done, Ok(Applied::Done { .. })), "{done:?}");
    }
    for key in [finished, unfinished] {
        let entry = world.upload.store().load(&key).await.unwrap();
        assert!(matches!(entry, Some(Entry::Live(record)) if record.received == 5));
    }
    assert_eq!(world.flaws(LATER).await, []);
}

#[tokio::test]
async fn a_step_whose_upload_has_moved_does_nothing() {
    let world = World::new();
    let record = world.unfinished().await;
    let manifest = world.path(&record.key, "jsonl");
    let text = std::fs::read(&manifest).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    let found = world.flaws(LATER).await;
    let step = found[0].step.clone().unwrap();
    std::fs::File::create(&manifest).unwrap().write_all(&text).unwrap();
    world.append(&record, b"more").await;
    let applied = apply(&world.upload, &step).await;
    assert!(matches!(applied, Ok(Applied::Past { .. })), "{applied:?}");
    assert_eq!(std::fs::read(&manifest).unwrap(), text);

    // A plan cannot name what is no piece of its upload.
    for key in ["../tasks.sqlite3", "default/00/x.1", ""] {
        let piece = storage::Piece {
            key: key.to_owned(),
            bytes: 0,
            newest: UnixMillis(0),
            document: false,
            part_of: None,
        };
        let step = Step::Remove {
            task: fixture::creation(None).key,
            revision: None,
            pieces: vec![piece],
        };
        assert!(apply(&world.upload, &step).await.is_err(), "{key}");
    }
}

#[tokio::test]
async fn a_plan_reads_back_as_it_was_written_and_what_is_none_is_refused() {
    let world = World::new();
    let record = world.finished(None).await;
    std::fs::write(world.path(&record.key, "9"), b"nobody's").unwrap();
    std::fs::remove_file(world.path(&record.key, "1")).unwrap();
    let found = world.flaws(LATER).await;
    let mut file = Vec::new();
    let mut plan = Plan::begin(&mut file).unwrap();
    for finding in &found {
        plan.add(finding).unwrap();
    }
    plan.end().unwrap();
    let read: Vec<Planned> = Planned::read(&file[..]).unwrap().collect::<Result<_, _>>().unwrap();
    let steps: Vec<&Step> = found.iter().filter_map(|finding| finding.step.as_ref()).collect();
    assert_eq!(read.iter().map(|planned| &planned.step).collect::<Vec<_>>(), steps);
    assert!(matches!(Planned::read(&b""[..]).map(drop), Err(PlanError::FindHeader)));
    let other = br#"{"windlassVerifyPlan":2,"made":0}"#;
    assert!(matches!(
        Planned::read(&other[..]).map(drop),
        Err(PlanError::ReadVersion { version: 2 })
    ));
    file.extend_from_slice(b"{}\n");
    let last = Planned::read(&file[..]).unwrap().last().unwrap();
    assert!(matches!(last, Err(PlanError::ReadLine { line: 4, .. })), "{last:?}");
}
