//! docs/backup.md: a backup, a loss, a restore and a recovery in a shell, written down as it went.
//!
//! `UPDATE_DOCS=1` in the environment of this test writes the page anew; without it, the page is
//! held against what the commands print now. Ids, times, places and sizes are made stable.

use std::fs;

use super::empty_like;
use super::recovering::lose_the_others;
use crate::support::{Relay, Session, Stable, direct, now_iso};

const HEAD: &str = "\
# Backups, and what to do after a loss

A backup is the whole relay at one moment, in one file, taken while it works. The page is written by running it:

    UPDATE_DOCS=1 cargo test --release --workspace --test api -- backups::page

and a test holds it against what the commands print now. Ids, times, sizes and places are made stable; nothing else is changed.

What is **not** in a backup, and must be kept apart from it: the master secret, in `secrets.toml` or `EKHO_MASTER_SECRET`. Without it no agent can sign in to a restored relay. Whoever has both has everything; whoever has a backup alone can read messages, but sign as nobody. `ekho.toml`, certificates and the licence's file are not in it either.
";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_backups_is_what_the_commands_print() {
    let relay = Relay::start().await;
    write_page(&relay).await.check("backup.md");
}

fn stable(relay: &Relay, restored: &Relay) -> Stable {
    let mut stable = Stable::new(vec![
        (restored.data_dir().display().to_string(), "/var/lib/ekho"),
        (relay.data_dir().display().to_string(), "/var/lib/old"),
        (relay.dir().join("home").display().to_string(), "/root"),
    ]);
    let patterns = [
        (r"\d+(\.\d+)? [KM]iB", "1.27 MiB"),
        (r"log entry \d+", "log entry 4711"),
        (r"entry \d+", "entry 4711"),
        (r"Entries \d+ to \d+", "Entries 4712 to 4713"),
        (r"term \d+", "term 12"),
        (r"intact: \d+ files", "intact: 34 files"),
        (r"\b(log_index +)\d+", "${1}4711"),
        (r"\b(size_bytes +)\d+", "${1}1331200"),
        (r"\b(files +)\d+", "${1}34"),
        (r"\b(sealing_key_id +)[0-9a-f]{16}", "${1}5f1d3a7c9e0b2468"),
        (
            r"cut short: \d+ of \d+ bytes",
            "cut short: 600000 of 1331200 bytes",
        ),
        (r"000\d{3}\.sst", "000123.sst"),
    ];
    for (pattern, to) in patterns {
        stable.pattern(pattern, to);
    }
    stable
}

async fn write_page(relay: &Relay) -> Session {
    let [writer, reviewer] = relay.agents(["Writer", "Reviewer"]).await;
    for number in 0..5 {
        writer
            .send(&direct(&reviewer.id, &format!("draft {number}")))
            .await;
    }
    let home = relay.dir().join("home");
    fs::create_dir_all(&home).unwrap();
    let mut restored = empty_like(relay);
    let stable = stable(relay, &restored);
    let mut session = Session::new(&home, HEAD, stable);
    act_on(&mut session, relay);
    let page = &mut session;
    take(page);
    check(page);
    page.title("The relay is lost");
    page.text("Its disk is gone, or the whole machine. Make sure that the old relay does not come back: two relays with the same agents would each accept what the other did. On the new machine, an empty directory gets the old `secrets.toml`, `ekho.toml` if there is one, and the backup:");
    act_on(page, &restored);
    page.run("ls $EKHO_DATA_DIR");
    let lost_at = now_iso();
    page.run(&format!("ekho backup restore ekho.tar --lost-at {lost_at}"));
    page.text(AFTER_RESTORE);
    restored.boot().await;
    page.run("ekho overview | head -n 4");
    page.run("ekho audit events --type relay.restored");
    page.text("A directory that holds anything else is left alone:");
    page.run_to("ekho backup restore ekho.tar", 1);
    page.title("The majority is lost");
    page.text(LOST_MAJORITY);
    restored.stop().await;
    lose_the_others(&restored).await;
    page.run_to("ekho cluster recover --yes 2>&1 | head -n 2", 0);
    let lost_at = now_iso();
    page.run(&format!(
        "ekho cluster recover --accept-data-loss --lost-at {lost_at} --yes"
    ));
    page.text("Without `--yes` it shows the first part and asks. Choose, of the nodes that are left, the one whose log reaches furthest: run the command on each without `--yes`, answer no, and compare. Then start it, empty the data directories of all others, and let them join anew; as members of the old cluster they are refused, whatever they hold.");
    restored.boot().await;
    page.run("ekho audit events --type relay");
    session
}

fn act_on(page: &mut Session, relay: &Relay) {
    page.env("EKHO_DATA_DIR", &relay.data_dir().display().to_string());
    page.env("EKHO_BASE_URL", &relay.url());
}

fn take(page: &mut Session) {
    page.title("Take a backup");
    page.run("ekho backup create --output ekho.tar --label 'before the upgrade'");
    page.text("From any machine, as an owner of the relay's first fleet or with an API token of the scope `backup`, which can do nothing else:");
    page.run("ekho tokens create-api --name nightly --scope backup > backup.token");
    page.run("ekho backup create --output nightly.tar --token-file backup.token");
    page.run("ekho audit events --type backup.taken");
    page.text("Everything that was answered before the command began is in it. The relay goes on meanwhile; the backup is read from a snapshot, which takes up room for what changes until it is done. The file is checked while it arrives, and has its name when it is whole and on disk. A cron job needs no more than that; with a directory, the file is named after the time, and the newest are kept:");
    page.text("    30 3 * * *  ekho backup create --token-file /etc/ekho/backup.token --url https://relay.example --directory /backups --keep 14");
    page.text("Messages are readable in it, as on the relay's disk: encrypt it before it leaves the house, with `age` or `gpg` or whatever you trust.");
}

fn check(page: &mut Session) {
    page.title("Look at it, check it");
    page.run("ekho backup show ekho.tar");
    page.run("ekho backup verify ekho.tar");
    page.text("It is a tar archive, and can be checked without Ekho:");
    page.run("mkdir unpacked && tar -xf ekho.tar -C unpacked && cd unpacked && sha256sum --quiet -c SHA256SUMS && echo whole");
    page.text("A file that was cut short or changed is refused, here and when it is restored:");
    page.run("head -c 20000 ekho.tar > half.tar");
    page.run_to("ekho backup verify half.tar", 1);
    page.text("A backup that was never restored is a hope. Restore one now and then, on a machine that no agent reaches, and look at it.");
}

const AFTER_RESTORE: &str = "\
`--lost-at` says when the old relay was lost: it accepted nothing after that. What it accepted between the backup and then is not known, and the relay must not accept any of it a second time. Clocks of agents may be ahead by the allowed skew (5 minutes by default), so it refuses all signed requests until that has passed since the loss, with 401 `timestamp_before_leadership` and `Retry-After`, which SDKs wait for. Without `--lost-at`, the loss is now.

The restored relay is a new cluster of one node, under a new id. Let other nodes join it with empty directories; those of the old cluster are refused. Operators, sessions, tokens, agents, their keys and messages are as they were in the backup, and so:

- messages accepted since are lost; those acked since come again, and so may those redelivered then;
- agents, operators and keys that were revoked since, and sessions that were ended, are back: revoke them again;
- agents that enrolled or rotated their secret since cannot sign in: admit them again;
- enrolment tokens and recovery codes that were used since are good again;
- policies and settings are those of the backup;
- events of the audit log get numbers that events after the backup had. `relay.restored` marks where; receivers of hooks that go by event ids may take a new event for an old one.";

const LOST_MAJORITY: &str = "\
With two of three nodes gone for good, the third accepts nothing: it cannot know what they decided. If one of them can be brought back, do that, and nothing is lost. If not, and a backup is older than what this node holds, it can go on alone, at the price of what it did not receive. Stop it first. It is never done by itself, and the command wants that said:";
