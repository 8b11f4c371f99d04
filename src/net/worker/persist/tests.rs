use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use pushserver_testkit::directory::Directory;
use rusqlite::Connection;

use super::restore::{self, restore};
use super::*;
use crate::message::{Content, MessageId};
use crate::net::options::PersistSync;
use crate::store::{ChannelRecord, Made, MessageRecord};

const STORE: StoreId = StoreId(3);

/// A loop that does nothing but write to files.
struct Loop {
    poll: Poll,
    waker: Arc<Waker>,
}

impl Loop {
    fn new() -> Self {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        Self { poll, waker }
    }

    fn options(path: &Path) -> PersistOptions {
        let (name, path) = ("chat".to_owned(), path.to_owned());
        PersistOptions { store: STORE, name, path, sync: PersistSync::Second }
    }

    fn start(&self, path: &Path) -> Result<(Persist, Vec<Restored>), Why> {
        let mut restored = Vec::new();
        let persist =
            Persist::start(&[Self::options(path)], Arc::clone(&self.waker), |store, row| {
                assert_eq!(store, STORE);
                restored.push(row);
            });
        persist.map(|persist| (persist, restored)).map_err(|error| {
            assert_eq!(error.path, path);
            error.why
        })
    }

    /// With a connection that the test has prepared.
    fn serve(&self, path: &Path, prepare: &str) -> Persist {
        let opened = restore(path, PersistSync::Second, |_| ()).unwrap();
        opened.connection.execute_batch(prepare).unwrap();
        let (to, told) = mpsc::channel();
        let tell = Tell { store: STORE, to, waker: Arc::clone(&self.waker) };
        let restore::Opened { connection, path } = opened;
        let open = Open::serve(&Self::options(&path), tell.clone(), connection, path.clone());
        Persist { files: vec![open.unwrap()], told, tell }
    }

    /// Waits until `done` gives something.
    fn wait<T>(&mut self, mut done: impl FnMut() -> Option<T>) -> T {
        let mut events = Events::with_capacity(4);
        let clock = crate::clock::Clock::start();
        loop {
            if let Some(value) = done() {
                return value;
            }
            assert!(clock.now().since_start_ms() < 20_000, "it never came");
            let _ = self.poll.poll(&mut events, Some(Duration::from_millis(50)));
        }
    }

    fn write(&mut self, persist: &mut Persist, batch: Batch) -> Outcome {
        persist.write(batch);
        assert!(persist.is_writing());
        self.wait(|| persist.poll()).1
    }

    fn close(&mut self, mut persist: Persist) {
        persist.close();
        self.wait(|| {
            assert!(persist.poll().is_none());
            persist.is_closed().then_some(())
        });
    }

    /// What a start finds there; closed again.
    fn found(&mut self, path: &Path) -> Vec<Restored> {
        let (persist, restored) = self.start(path).unwrap();
        self.close(persist);
        restored
    }
}

fn id(time: u64, tag: u32) -> MessageId {
    MessageId { time, tag }
}

fn message(number: u64) -> MessageRecord {
    MessageRecord {
        place: id(1_700_000_000 + number / 100, (number % 100) as u32),
        tag: number as u32,
        before: id(number, 7),
        channel: format!("channel {}", number % 7).into_bytes().into(),
        content: Content {
            content_type: None,
            event: None,
            body: format!("{number:->200}").into_bytes().into(),
        },
    }
}

fn channel(name: &str, last: u64, made: Option<Made>) -> ChannelRecord {
    ChannelRecord {
        name: name.as_bytes().into(),
        last: id(last, 1),
        lost_through: id(last / 2, 2),
        gone_through: MessageId::default(),
        made,
    }
}

fn batch(messages: impl IntoIterator<Item = MessageRecord>) -> Batch {
    Batch::of_rows(STORE, messages.into_iter().collect(), vec![], vec![], MessageId::default())
}

fn of_channels(channels: Vec<ChannelRecord>, settled: MessageId) -> Batch {
    Batch::of_rows(STORE, vec![], channels, vec![], settled)
}

fn messages(restored: &[Restored]) -> Vec<&MessageRecord> {
    restored
        .iter()
        .filter_map(|one| match one {
            Restored::Message(message) => Some(message),
            Restored::Channel(_) => None,
        })
        .collect()
}

/// Names beside a file, with its own.
fn names(directory: &Directory) -> BTreeSet<String> {
    let names = fs::read_dir(directory.file("")).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The one file that was moved aside, after a start.
fn aside(directory: &Directory, what: &str) -> PathBuf {
    let names = names(directory);
    let begin = format!("a.db.{what}-");
    assert_eq!(names.len(), 2, "{names:?}");
    let name = names.iter().find(|name| name.starts_with(&begin));
    directory.file(name.unwrap_or_else(|| panic!("{names:?}")))
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

/// A closed file with so many messages.
fn filled(path: &Path, count: u64) {
    let mut net = Loop::new();
    let (mut persist, restored) = net.start(path).unwrap();
    assert_eq!(restored, []);
    assert_eq!(net.write(&mut persist, batch((0..count).map(message))), Outcome::Written);
    net.close(persist);
}

fn of_file(persist: &Persist) -> PersistFigures {
    match persist.figures()[0].kind {
        StoreFiguresOf::Persist(figures) => figures,
        StoreFiguresOf::Redis(_) => panic!("it is a file"),
    }
}

#[test]
fn what_was_written_comes_back_in_order_byte_for_byte() {
    let directory = Directory::create();
    let path = directory.file("a.db");
    let mut net = Loop::new();
    let (mut persist, restored) = net.start(&path).unwrap();
    assert_eq!(restored, []);
    let odd = MessageRecord {
        place: id(u64::from(u32::MAX), u32::MAX),
        tag: u32::MAX,
        before: id(u64::MAX, 0),
        channel: Box::from([0, 0xff, b'\'', b'"', 0]),
        content: Content {
            content_type: Some(Box::from([])),
            event: Some(Box::from(*b"\xf0\x9f")),
            body: Box::from([]),
        },
    };
    let early = MessageRecord { place: id(0, 0), ..message(1) };
    let big = MessageRecord {
        content: Content { body: vec![0xab; 3 << 20].into(), ..Content::default() },
        ..message(2)
    };
    let created = channel("b", 5, Some(Made::OnRequest));
    let departed = ChannelRecord { gone_through: id(9, 9), ..channel("a", 7, None) };
    let first = Batch::of_rows(
        STORE,
        vec![odd.clone(), big.clone()],
        vec![created.clone(), departed],
        vec![],
        MessageId::default(),
    );
    assert_eq!(net.write(&mut persist, first), Outcome::Written);
    // Deleted in the same batch, and in a later one.
    let second = Batch::of_rows(
        STORE,
        vec![message(3), early.clone(), message(4)],
        vec![
            // What is gone stays gone.
            ChannelRecord { gone_through: id(1, 1), ..channel("a", 8, Some(Made::ToPublish)) },
            channel("w", 0, Some(Made::ToWait)),
        ],
        vec![message(3).place],
        MessageId::default(),
    );
    assert_eq!(net.write(&mut persist, second), Outcome::Written);
    let third = Batch::of_rows(STORE, vec![], vec![], vec![message(4).place], id(1, 0));
    assert_eq!(net.write(&mut persist, third), Outcome::Written);
    let figures = of_file(&persist);
    assert_eq!((figures.persist_commits, figures.persist_refused), (3, 0));
    assert_eq!(figures.persist_queue_bytes, 0);
    assert!(figures.persist_file_bytes > 0);
    net.close(persist);

    assert_eq!(names(&directory), BTreeSet::from(["a.db".to_owned()]));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let departed =
        ChannelRecord { gone_through: id(9, 9), ..channel("a", 8, Some(Made::ToPublish)) };
    let expected = [
        Restored::Channel(created),
        Restored::Channel(departed),
        Restored::Channel(channel("w", 0, Some(Made::ToWait))),
        Restored::Message(early),
        Restored::Message(big),
        Restored::Message(odd),
    ];
    assert_eq!(net.found(&path), expected);
    assert_eq!(net.found(&path), expected);
}

#[test]
fn a_log_cut_off_anywhere_gives_whole_batches_and_nothing_of_the_cut_one() {
    let directory = Directory::create();
    let path = directory.file("a.db");
    let mut net = Loop::new();
    let (mut persist, _) = net.start(&path).unwrap();
    for number in 0..20 {
        let two = batch([message(2 * number), message(2 * number + 1)]);
        assert_eq!(net.write(&mut persist, two), Outcome::Written);
    }
    // As a process leaves it that is killed.
    let (file, log) = (fs::read(&path).unwrap(), fs::read(directory.file("a.db-wal")).unwrap());
    net.close(persist);
    let killed = Directory::create();
    let (path, log_path) = (killed.file("a.db"), killed.file("a.db-wal"));
    let mut counts = BTreeSet::new();
    for cut in (0..=log.len()).rev().step_by(1031) {
        fs::write(&path, &file).unwrap();
        fs::write(&log_path, &log[..cut]).unwrap();
        let found = net.found(&path);
        let found = messages(&found);
        assert_eq!(found.len() % 2, 0);
        assert!(found.iter().zip(0..).all(|(found, number)| **found == message(number)));
        counts.insert(found.len());
        assert_eq!(names(&killed).len(), 1);
    }
    assert_eq!(counts.first(), Some(&0));
    assert_eq!(counts.last(), Some(&40));
    assert!(counts.len() > 10);
}

#[test]
fn a_damaged_page_loses_its_rows_alone_and_the_old_file_is_kept() {
    let directory = Directory::create();
    let path = directory.file("a.db");
    filled(&path, 2000);
    let mut net = Loop::new();
    // Each page but the first, in which the tables stand.
    let pages = fs::metadata(&path).unwrap().len() / 4096;
    let whole = fs::read(&path).unwrap();
    assert!(pages > 100);
    let mut kept_at_all = 0;
    for page in (1..pages).step_by(7).chain([1, 2, 3, 4]) {
        let directory = Directory::create();
        let path = directory.file("a.db");
        fs::write(&path, &whole).unwrap();
        overwrite(&path, page * 4096, &[0xa5; 4096]);
        let found = net.found(&path);
        let found = messages(&found);
        let places: BTreeSet<_> = found.iter().map(|found| found.place).collect();
        assert_eq!(places.len(), found.len());
        assert!(found.is_sorted_by_key(|found| found.place));
        for found in &found {
            let number = (found.place.time - 1_700_000_000) * 100 + u64::from(found.place.tag);
            assert_eq!(**found, message(number));
        }
        if found.len() < 2000 {
            assert_eq!(fs::read(aside(&directory, "damaged")).unwrap().len(), whole.len());
        }
        // A page of a table holds less than 20; above them are few.
        kept_at_all += usize::from(found.len() > 1980);
        // The new file is well, and has the same.
        let (again, restored) = net.start(&path).unwrap();
        assert_eq!(messages(&restored), found);
        net.close(again);
    }
    assert!(kept_at_all > pages as usize / 7 - 3, "{kept_at_all} of {pages} / 7");
}

#[test]
fn a_row_whose_checksum_is_wrong_is_left_out() {
    let directory = Directory::create();
    let path = directory.file("a.db");
    filled(&path, 200);
    let whole = fs::read(&path).unwrap();
    let body = message(77).content.body;
    let at = whole.windows(body.len()).position(|bytes| *bytes == *body).unwrap();
    overwrite(&path, at as u64 + 3, b"x");
    let mut net = Loop::new();
    let found = net.found(&path);
    let expected: Vec<_> = (0..200).filter(|number| *number != 77).map(message).collect();
    assert_eq!(messages(&found), expected.iter().collect::<Vec<_>>());
    aside(&directory, "damaged");
    assert_eq!(net.found(&path), found);
}

#[test]
fn a_file_that_is_cut_off_gives_what_is_left() {
    let mut net = Loop::new();
    for share in [1, 2, 3] {
        let directory = Directory::create();
        let path = directory.file("a.db");
        filled(&path, 2000);
        let length = fs::metadata(&path).unwrap().len();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length * share / 4 + 100).unwrap();
        let found = net.found(&path).len();
        assert!((200..2000).contains(&found), "{found} of a file cut to {share}/4");
        aside(&directory, "damaged");
        assert_eq!(net.found(&path).len(), found);
    }
}

#[test]
fn what_is_no_file_of_ours_is_moved_aside_untouched() {
    let mut net = Loop::new();
    let directory = Directory::create();
    let path = directory.file("a.db");
    fs::write(&path, "my diary").unwrap();
    assert_eq!(net.found(&path), []);
    assert_eq!(fs::read(aside(&directory, "damaged")).unwrap(), b"my diary");

    let directory = Directory::create();
    let path = directory.file("a.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE message (seq INTEGER)").unwrap();
    drop(other);
    let whole = fs::read(&path).unwrap();
    assert_eq!(net.found(&path), []);
    assert_eq!(fs::read(aside(&directory, "foreign")).unwrap(), whole);

    // The head of a file of ours, and what stands there of its tables.
    for at in [0, 100] {
        let directory = Directory::create();
        let path = directory.file("a.db");
        filled(&path, 20);
        overwrite(&path, at, &[0; 400]);
        assert_eq!(net.found(&path), []);
        aside(&directory, "damaged");
        filled(&path, 20);
    }
}

#[test]
fn what_cannot_be_opened_says_why() {
    let directory = Directory::create();
    let path = directory.file("a.db");
    let mut net = Loop::new();
    filled(&path, 3);
    let (persist, _) = net.start(&path).unwrap();
    assert_eq!(net.start(&path).unwrap_err(), Why::InUse);
    // By another name, too.
    let link = directory.file("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(net.start(&link).unwrap_err(), Why::InUse);
    net.close(persist);

    let other = Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA user_version = 7").unwrap();
    drop(other);
    assert_eq!(net.start(&path).unwrap_err(), Why::Newer(7));
    let nowhere = directory.file("nowhere").join("a.db");
    assert_eq!(net.start(&nowhere).unwrap_err(), Why::NoDirectory);
    assert_eq!(net.start(&directory.file("")).unwrap_err(), Why::NotAFile);
    let broken = directory.file("broken.db");
    std::os::unix::fs::symlink(directory.file("nothing"), &broken).unwrap();
    assert_eq!(net.start(&broken).unwrap_err(), Why::BrokenLink);
    fs::remove_file(&broken).unwrap();
    let error = PersistError { path: "/a/b.db".into(), why: Why::NoDirectory };
    let words = "persist: cannot open /a/b.db: there is no such directory; create it first";
    assert_eq!(error.to_string(), words);
    assert_eq!(names(&directory).len(), 2);
}

#[test]
fn a_full_disk_refuses_whole_batches_until_there_is_room() {
    let directory = Directory::create();
    let path = directory.file("a.db");
    let mut net = Loop::new();
    let mut persist = net.serve(&path, "PRAGMA max_page_count = 60");
    let mut number = 0;
    let mut fill = |net: &mut Loop, persist: &mut Persist| {
        loop {
            match net.write(persist, batch((number..number + 10).map(message))) {
                Outcome::Written => number += 10,
                Outcome::Refused => return number,
            }
        }
    };
    let written = fill(&mut net, &mut persist);
    assert!((100..1000).contains(&written), "{written}");
    assert_eq!(net.write(&mut persist, batch([])), Outcome::Written);
    let gone = (0..60).map(|number| message(number).place).collect();
    let gone = Batch::of_rows(STORE, vec![], vec![], gone, MessageId::default());
    assert_eq!(net.write(&mut persist, gone), Outcome::Written);
    let more = fill(&mut net, &mut persist);
    assert!(more > written);
    assert_eq!(of_file(&persist).persist_refused, 2);
    net.close(persist);
    let expected: Vec<_> = (60..more).map(message).collect();
    assert_eq!(messages(&net.found(&path)), expected.iter().collect::<Vec<_>>());
}

#[test]
fn a_message_of_a_wrong_clock_is_refused_and_nothing_else() {
    let directory = Directory::create();
    let path = directory.file("a.db");
    let mut net = Loop::new();
    let (mut persist, _) = net.start(&path).unwrap();
    let late = MessageRecord { place: id(1 << 32, 0), ..message(1) };
    assert_eq!(net.write(&mut persist, batch([message(0), late])), Outcome::Refused);
    assert_eq!(net.write(&mut persist, batch([message(2)])), Outcome::Written);
    net.close(persist);
    assert_eq!(net.found(&path), [Restored::Message(message(2))]);
}

#[test]
fn a_file_that_is_damaged_while_it_is_written_to_is_replaced() {
    let directory = Directory::create();
    let path = directory.file("a.db");
    // More than SQLite keeps in memory.
    filled(&path, 20_000);
    let mut net = Loop::new();
    let (mut persist, _) = net.start(&path).unwrap();
    let pages = fs::metadata(&path).unwrap().len() / 4096;
    let lost = 4096 / 200 * 20;
    overwrite(&path, pages / 4 * 4096, &[0xa5; 4096 * 20]);
    let gone = (0..20_000).map(|number| message(number).place).collect();
    let gone = Batch::of_rows(STORE, vec![], vec![], gone, MessageId::default());
    assert_eq!(net.write(&mut persist, gone), Outcome::Refused);
    assert_eq!(net.write(&mut persist, batch([message(20_000)])), Outcome::Written);
    net.close(persist);
    let found = net.found(&path).len();
    assert!((20_000 - lost..20_000).contains(&found), "{found}");
    aside(&directory, "damaged");
}

#[test]
fn a_file_that_somebody_removes_or_replaces_is_written_anew() {
    let directory = Directory::create();
    let path = directory.file("a.db");
    filled(&path, 3);
    let mut net = Loop::new();
    let (mut persist, _) = net.start(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(net.write(&mut persist, batch([message(3)])), Outcome::Written);
    // Within a second or so, by the thread.
    net.wait(|| path.exists().then_some(()));
    assert_eq!(net.write(&mut persist, batch([message(4)])), Outcome::Written);
    // At the end, too.
    let other = directory.file("other");
    fs::write(&other, "another").unwrap();
    fs::rename(&other, &path).unwrap();
    net.close(persist);
    let expected: Vec<_> = (0..5).map(message).collect();
    assert_eq!(messages(&net.found(&path)), expected.iter().collect::<Vec<_>>());
    assert_eq!(fs::read(aside(&directory, "displaced")).unwrap(), b"another");
    assert_eq!(names(&directory).len(), 2);
}

#[test]
fn where_a_file_cannot_be_written_anew_the_old_one_is_kept_open() {
    let directory = Directory::create();
    fs::create_dir(directory.file("in")).unwrap();
    let path = directory.file("in").join("a.db");
    let mut net = Loop::new();
    let (mut persist, _) = net.start(&path).unwrap();
    fs::rename(directory.file("in"), directory.file("out")).unwrap();
    assert_eq!(net.write(&mut persist, batch([message(0)])), Outcome::Written);
    net.close(persist);
    assert_eq!(net.found(&directory.file("out").join("a.db")).len(), 1);
}

#[test]
fn a_head_that_says_read_only_is_damaged() {
    let directory = Directory::create();
    let path = directory.file("a.db");
    filled(&path, 10);
    // The format that one must know to write it.
    overwrite(&path, 18, &[3]);
    let mut net = Loop::new();
    let (mut persist, found) = net.start(&path).unwrap();
    assert_eq!(found.len(), 10);
    assert_eq!(net.write(&mut persist, batch([message(10)])), Outcome::Written);
    net.close(persist);
    assert_eq!(net.found(&path).len(), 11);
    aside(&directory, "damaged");
}

#[test]
fn of_channels_that_are_gone_the_newest_are_kept_and_those_with_rows_of_messages() {
    let directory = Directory::create();
    let path = directory.file("a.db");
    let mut net = Loop::new();
    let (mut persist, _) = net.start(&path).unwrap();
    let gone = |name: u64, gone_through| {
        let channel = channel(&format!("gone {name}"), name, None);
        ChannelRecord { gone_through, ..channel }
    };
    // The oldest, but of messages that may still be there.
    let unsettled = (0..10).map(|name| gone(name, id(50, 0)));
    let settled = (10..7000).map(|name| gone(name, id(49, 9)));
    let living = (0..10).map(|name| channel(&format!("living {name}"), 0, Some(Made::OnRequest)));
    let all = unsettled.chain(settled).chain(living).collect();
    assert_eq!(net.write(&mut persist, of_channels(all, id(50, 0))), Outcome::Written);
    // Removed within a second or so, by the thread.
    let bytes = Arc::clone(&persist.files[0].file_bytes);
    let log = directory.file("a.db-wal");
    net.wait(|| (fs::metadata(&log).ok()?.len() == 0).then_some(()));
    assert!(bytes.load(Ordering::Relaxed) > 0);
    net.close(persist);
    let found = net.found(&path);
    assert_eq!(found.len(), 10 + 4096 + 10);
    assert!(found.contains(&Restored::Channel(gone(9, id(50, 0)))));
    assert!(found.contains(&Restored::Channel(gone(6999, id(49, 9)))));
    assert!(!found.contains(&Restored::Channel(gone(2000, id(49, 9)))));
}

#[test]
fn pages_of_what_is_gone_are_given_back_to_the_system() {
    let directory = Directory::create();
    let path = directory.file("a.db");
    filled(&path, 40_000);
    let before = fs::metadata(&path).unwrap().len();
    let mut net = Loop::new();
    let (mut persist, _) = net.start(&path).unwrap();
    let gone = (0..40_000).map(|number| message(number).place).collect();
    let gone = Batch::of_rows(STORE, vec![], vec![], gone, MessageId::default());
    assert_eq!(net.write(&mut persist, gone), Outcome::Written);
    net.wait(|| (fs::metadata(&path).ok()?.len() < before * 3 / 4).then_some(()));
    net.close(persist);
    assert_eq!(net.found(&path), []);
}

#[test]
fn a_batch_without_a_file_is_refused() {
    let mut net = Loop::new();
    let mut none = Persist::start(&[], Arc::clone(&net.waker), |_, _| ()).unwrap();
    none.write(batch([message(1)]));
    assert_eq!(net.wait(|| none.poll()).1, Outcome::Refused);
    assert!(none.is_closed() && !none.is_writing());
    // Nor does one have a file that is closed.
    let directory = Directory::create();
    let (mut closed, _) = net.start(&directory.file("a.db")).unwrap();
    closed.close();
    closed.write(batch([message(1)]));
    assert_eq!(net.wait(|| closed.poll()).1, Outcome::Refused);
    net.close(closed);
}
