use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use super::*;

const LENGTH: usize = 3000;

/// A file whose last change is long ago.
fn file(folder: &Path) -> PathBuf {
    let path = folder.join("talk.webm");
    fs::write(&path, vec![1; LENGTH]).unwrap();
    path
}

/// Reads a file in pieces of a third, with something done to it after the first.
fn read_while(path: &Path, change: impl FnOnce(&Path)) -> io::Result<u64> {
    let mut source = Source::open_now(path).unwrap();
    let mut piece = [0; LENGTH / 3];
    let mut sum = source.read(&mut piece)? as u64;
    change(path);
    loop {
        match source.read(&mut piece)? {
            0 => return Ok(sum),
            read => sum += read as u64,
        }
    }
}

#[track_caller]
fn seen(change: impl FnOnce(&Path)) -> SourceChange {
    let folder = tempfile::tempdir().unwrap();
    let error = read_while(&file(folder.path()), change).unwrap_err();
    change_in(&error).unwrap_or_else(|| panic!("{error}"))
}

fn writing(path: &Path) -> File {
    File::options().write(true).open(path).unwrap()
}

#[test]
fn a_file_that_is_left_alone_is_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let left_alone = read_while(&file(folder.path()), |path| {
        fs::read(path).unwrap();
    });
    assert_eq!(left_alone.unwrap(), LENGTH as u64);
}

#[test]
fn every_change_that_can_be_seen_is_one() {
    let length = LENGTH as u64;
    let shorter = seen(|path| writing(path).set_len(1000).unwrap());
    assert_eq!(shorter, SourceChange::Length { before: length, now: 1000 });
    let longer = seen(|path| File::options().append(true).open(path).unwrap().write_all(b"more").unwrap());
    assert_eq!(longer, SourceChange::Length { before: length, now: length + 4 });
    assert_eq!(seen(|path| writing(path).write_all_at(b"other", 0).unwrap()), SourceChange::Written);
    let with_the_time_set_back = |path: &Path| {
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        let file = writing(path);
        file.write_all_at(b"other", 0).unwrap();
        file.set_modified(modified).unwrap();
    };
    assert_eq!(seen(with_the_time_set_back), SourceChange::Written);
}

fn replace(path: &Path) {
    let aside = path.with_extension("aside");
    fs::write(&aside, vec![2; LENGTH]).unwrap();
    fs::rename(aside, path).unwrap();
}

/// What a change is called, and what it does.
type HarmlessChange = (&'static str, fn(&Path));

#[test]
fn what_leaves_every_byte_in_its_place_is_no_change() {
    use std::os::unix::fs::PermissionsExt as _;
    let changes: [HarmlessChange; 6] = [
        ("permissions", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o400)).unwrap()),
        ("another link", |path| fs::hard_link(path, path.with_extension("link")).unwrap()),
        ("a time of reading", |path| {
            let times = fs::FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH);
            File::open(path).unwrap().set_times(times).unwrap();
        }),
        ("a name lost", |path| fs::remove_file(path).unwrap()),
        ("another name", |path| fs::rename(path, path.with_extension("old")).unwrap()),
        ("a name that another file got", replace),
    ];
    for (what, change) in changes {
        let folder = tempfile::tempdir().unwrap();
        let read = read_while(&file(folder.path()), change);
        assert_eq!(read.unwrap_or_else(|error| panic!("{what}: {error}")), LENGTH as u64, "{what}");
    }
}

/// What is read again is what was sealed, and not what somebody read before.
#[test]
fn what_is_open_already_is_read_again_from_where_it_stood() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let mut opened = File::open(&path).unwrap();
    opened.read_exact(&mut [0; 100]).unwrap();
    let mut source = Source::opened(opened).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(io::copy(&mut source, &mut io::sink()).unwrap(), LENGTH as u64 - 100);
}

#[test]
fn a_name_leads_elsewhere_only_if_it_leads_to_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let name = Source::open_now(&path).unwrap().name().unwrap().unwrap();
    assert!(!name.leads_elsewhere());
    fs::rename(&path, path.with_extension("old")).unwrap();
    assert!(!name.leads_elsewhere(), "it leads nowhere");
    replace(&path);
    assert!(name.leads_elsewhere());
}

/// Two writes within one tick of the clock have one time: the first look waits for the tick to end.
#[test]
fn a_write_right_after_the_last_one_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..50 {
        let path = file(folder.path());
        let error = read_while(&path, |path| writing(path).write_all_at(b"other", 0).unwrap());
        assert_eq!(change_in(&error.unwrap_err()), Some(SourceChange::Written));
    }
}

#[test]
fn what_is_open_already_is_watched_from_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path());
    let mut opened = File::open(&path).unwrap();
    opened.read_exact(&mut [0; 100]).unwrap();
    let mut source = Source::opened(opened.try_clone().unwrap()).unwrap();
    assert_eq!(io::copy(&mut source, &mut io::sink()).unwrap(), LENGTH as u64 - 100);
    let mut source = Source::opened(File::open(&path).unwrap()).unwrap();
    writing(&path).set_len(10).unwrap();
    let error = io::copy(&mut source, &mut io::sink()).unwrap_err();
    assert_eq!(change_in(&error), Some(SourceChange::Length { before: LENGTH as u64, now: 10 }));
}
