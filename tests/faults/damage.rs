//! Damage and mix-ups of the data directory: a write cut short by a crash is recovered, everything
//! else is refused with exit code 1 and a sentence that says what is wrong and what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ekho_jepsen::actor::{Address, Copies};
use ekho_jepsen::book::Book;
use ekho_jepsen::history::{Call, History, Outcome};
use ekho_jepsen::rng::Rng;

use crate::kill::drained;
use crate::process::{Place, actor, alone, assert_kept, files, judge, quick, ready, refusal};
use crate::stop::{drain_inbox, start_again};
use crate::support::{Agent, Relay};

const MESSAGES: usize = 40;
const BODY_BYTES: usize = 700;

/// A relay with messages, not running, and a copy of its directory to go back to.
struct Scene {
    relay: Relay,
    history: History,
    sender: Agent,
    reader: Agent,
    saved: PathBuf,
    _place: Place,
}

/// How the relay of a scene ended.
#[derive(PartialEq, Eq)]
enum End {
    /// SIGKILL: the log's last writes are in its write-ahead file, the state has nothing.
    Killed,
    /// SIGTERM: the state is flushed.
    Stopped,
}

impl Scene {
    async fn new(end: End) -> Self {
        Self::with(end, &[]).await
    }

    async fn with(end: End, env: &[(&str, &str)]) -> Self {
        let place = Place::new();
        let builder = env
            .iter()
            .fold(quick(place.path()), |builder, (name, value)| {
                builder.env(name, value)
            });
        let mut relay = builder.start().await;
        let operator = relay.operator().await;
        let (sender, reader) = (
            operator.enrol("sender").await,
            operator.enrol("reader").await,
        );
        let book = Book::new();
        let mut writer = actor(0, &sender, &relay, &book);
        let to = Address::of_agent(1, &reader.id);
        let mut rng = Rng::new(7);
        for _ in 0..MESSAGES {
            let draft = writer.draft(&mut rng, &to, BODY_BYTES, true, 0);
            let outcome = writer.send(&draft, Copies::One).await;
            assert!(outcome.is_success(), "{outcome:?}");
        }
        match end {
            End::Killed => relay.kill(),
            End::Stopped => relay.stop().await,
        }
        let saved = place.path().join("saved");
        let scene = Scene {
            history: book.read(History::clone),
            relay,
            sender,
            reader,
            saved,
            _place: place,
        };
        scene.save();
        scene
    }

    fn data(&self, name: &str) -> PathBuf {
        self.relay.data_dir().join(name)
    }

    /// Makes the directory as it is now the one to go back to.
    fn save(&self) {
        copy(&self.relay.data_dir(), &self.saved);
    }

    /// Puts the directory back to what was saved.
    fn restore(&self) {
        copy(&self.saved, &self.relay.data_dir());
    }

    /// Requires that the relay does not start, and that its sentence has these words. Then puts
    /// everything back.
    fn refused(&self, about: &str, words: &[&str]) {
        check_refusal(&self.relay, about, words);
        self.restore();
    }

    /// Starts the relay and requires every message that `history` says is there, as it was sent.
    async fn recovers(&mut self, about: &str, history: History) {
        start_again(&mut self.relay).await;
        let book = Book::with(history);
        let mut reader = actor(1, &self.reader, &self.relay, &book);
        let draining = tokio::spawn(async move { drain_inbox(&mut reader).await });
        let counters = drained(&self.relay).await;
        draining.abort();
        assert_kept(&judge(&book, &counters), about);
        self.relay.kill();
        self.restore();
    }
}

fn check_refusal(relay: &Relay, about: &str, words: &[&str]) {
    let Some((code, sentence)) = refusal(relay, &[]) else {
        panic!("{about}: the relay runs")
    };
    assert_eq!(code, 1, "{about}: {sentence}");
    for word in words {
        assert!(
            sentence.contains(word),
            "{about}: no {word:?} in {sentence:?}"
        );
    }
}

/// Makes `to` a copy of `from`, whatever was there before.
fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    let status = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(
        status.success(),
        "cp -a {} {}",
        from.display(),
        to.display()
    );
}

fn flip(path: &Path, bit: u64) {
    let mut data = fs::read(path).unwrap();
    data[(bit / 8) as usize] ^= 1 << (bit % 8);
    fs::write(path, data).unwrap();
}

fn size_bytes(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn cut(path: &Path, bytes: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(size_bytes(path) - bytes).unwrap();
}

fn largest(dir: &Path, ending: &str) -> PathBuf {
    files(dir, ending)
        .pop()
        .unwrap_or_else(|| panic!("no {ending} file in {}", dir.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_of_the_log_is_recovered() {
    let _turn = alone().await;
    let mut scene = Scene::new(End::Killed).await;
    let wal = largest(&scene.data("log"), ".log");
    // The last send stands for one that the crash interrupted: nobody was answered.
    let mut unanswered = scene.history.clone();
    let last = unanswered.ops.last_mut().unwrap();
    assert!(matches!(last.call, Call::Send(_)));
    last.outcome = Outcome::Unknown;
    for bytes in [1, 6, 300] {
        cut(&wal, bytes);
        scene
            .recovers(&format!("{bytes} bytes cut"), unanswered.clone())
            .await;
    }
    // A write of which only a part, or only zeros, reached the disk; all before it was answered.
    let whole = fs::read(&wal).unwrap();
    let tails: [(&str, &[u8]); 3] = [
        ("zeros behind the end", &[0; 5000]),
        ("a header cut short", &whole[..5]),
        ("a write cut short", &whole[..20]),
    ];
    for (about, tail) in tails {
        fs::write(&wal, [whole.as_slice(), tail].concat()).unwrap();
        scene.recovers(about, scene.history.clone()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_log_is_refused() {
    let _turn = alone().await;
    let mut scene = Scene::new(End::Killed).await;
    let wal = largest(&scene.data("log"), ".log");
    let bits = size_bytes(&wal) * 8;
    for step in 1..8 {
        flip(&wal, bits * step / 10 + step);
        let name = wal.file_name().unwrap().to_string_lossy();
        scene.refused(
            &format!("{step} tenths into the write-ahead file"),
            &[&name, "damaged", "at byte", "restore"],
        );
    }
    // A start writes what it finds there to a table file.
    start_again(&mut scene.relay).await;
    scene.relay.kill();
    scene.save();
    let table = largest(&scene.data("log"), ".sst");
    let bits = size_bytes(&table) * 8;
    for step in 1..8 {
        flip(&table, bits * step / 10 + step);
        scene.refused(
            &format!("{step} tenths into a table file of the log"),
            &["damaged", "restore"],
        );
    }
    let manifest = scene.data("log").join(
        fs::read_to_string(scene.data("log/CURRENT"))
            .unwrap()
            .trim(),
    );
    flip(&manifest, 400);
    scene.refused("the log's manifest", &["MANIFEST", "damaged", "restore"]);
    fs::remove_dir_all(scene.data("log")).unwrap();
    scene.refused("no log", &["damaged", "restore"]);
    // Put back, everything is there.
    scene.recovers("put back", scene.history.clone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_the_state_is_found() {
    let _turn = alone().await;
    let mut scene = Scene::new(End::Stopped).await;
    let state = files(&scene.data("state"), "").pop().unwrap();
    let tables = [files(&state, ".sst"), files(&state, ".blob")].concat();
    assert!(tables.len() > 5, "{tables:?}");
    for table in &tables {
        // What is stored comes first in a file, behind a blob file's header of 30 bytes.
        let bit = if table.extension().is_some_and(|name| name == "blob") {
            size_bytes(table) * 4
        } else {
            40
        };
        flip(table, bit);
        let name = table.file_name().unwrap().to_string_lossy();
        scene.refused(&format!("{name} of the state"), &["state", "restore"]);
    }
    let manifest = state.join(fs::read_to_string(state.join("CURRENT")).unwrap().trim());
    flip(&manifest, 400);
    scene.refused("the state's manifest", &["state", "restore"]);
    scene.recovers("put back", scene.history.clone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mixed_up_directory_is_refused() {
    let _turn = alone().await;
    let mut scene = Scene::new(End::Stopped).await;
    let other = Scene::new(End::Stopped).await;
    let identity = scene.data("cluster.json");

    copy(&other.data("log"), &scene.data("log"));
    scene.refused(
        "another relay's log",
        &["belongs to", "cluster", "own data directory"],
    );

    let text = fs::read_to_string(&identity).unwrap();
    let newer = text.replace("\"format_version\": 1", "\"format_version\": 2");
    assert_ne!(text, newer);
    fs::write(&identity, newer).unwrap();
    scene.refused("a newer format", &["format 2", "start the newer release"]);

    fs::remove_file(&identity).unwrap();
    scene.refused("no cluster.json", &["cluster.json", "missing", "restore"]);

    fs::write(&identity, &text[..text.len() / 2]).unwrap();
    scene.refused(
        "half a cluster.json",
        &["cluster.json", "damaged", "restore"],
    );

    let secret = [("EKHO_MASTER_SECRET", "another-master-secret-of-some-length")];
    let (code, sentence) =
        refusal(&scene.relay, &secret).expect("another master secret: the relay runs");
    assert_eq!(code, 1, "{sentence}");
    assert!(
        sentence.contains("master secret") && sentence.contains("EKHO_MASTER_SECRET"),
        "{sentence}"
    );

    // None of it did any harm.
    scene.recovers("put back", scene.history.clone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_another_relay_is_refused() {
    let _turn = alone().await;
    // The same secrets, so that these do not give it away.
    let secrets = [
        ("EKHO_MASTER_SECRET", "a-master-secret-of-two-relays"),
        (
            "EKHO_OPERATOR_SESSION_SECRET",
            "a-session-secret-of-two-relays",
        ),
    ];
    let mut scene = Scene::with(End::Stopped, &secrets).await;
    let other = Scene::with(End::Stopped, &secrets).await;
    copy(&other.data("state"), &scene.data("state"));
    scene.refused("another relay's state", &["belongs to", "cluster"]);
    scene.recovers("put back", scene.history.clone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_directory_is_refused() {
    let _turn = alone().await;
    let mut scene = Scene::new(End::Killed).await;
    start_again(&mut scene.relay).await;
    for _ in 0..3 {
        let (code, sentence) =
            refusal(&scene.relay, &[("EKHO_PORT", "0")]).expect("a second process: it runs");
        assert_eq!(code, 1, "{sentence}");
        assert!(sentence.contains("in use by another process"), "{sentence}");
    }
    // The first one did not notice.
    ready(&scene.relay).await;
    let book = Book::with(scene.history.clone());
    let mut sender = actor(0, &scene.sender, &scene.relay, &book);
    let to = Address::of_agent(1, &scene.reader.id);
    let draft = sender.draft(&mut Rng::new(9), &to, BODY_BYTES, true, 0);
    let outcome = sender.send(&draft, Copies::One).await;
    assert!(outcome.is_success(), "{outcome:?}");
    scene.relay.kill();
    scene.save();
    scene
        .recovers("after the second process", book.read(History::clone))
        .await;
}
