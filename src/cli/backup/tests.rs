use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::cli::testing::Place;

fn args(file: &Path, force: bool) -> Args {
    Args { file: file.to_owned(), force }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_appears_whole_private_and_once() {
    let place = Place::new(false);
    let bus = place.furnished().await;
    let file = place.home.path().join("b.jsonl");
    assert_eq!(to_file(&bus, &args(&file, false), &place.cx).await.unwrap(), OK);
    assert_eq!(names(place.home.path()), ["b.jsonl"]);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let said = place.results.text();
    assert!(said.contains("b.jsonl: 1 channels, 1 groups, 1 keys, 2 messages, 1 pending, 1 timers"), "{said}");
    let first = std::fs::read(&file).unwrap();
    backup::verify(first.as_slice()).await.unwrap();

    let err = to_file(&bus, &args(&file, false), &place.cx).await.unwrap_err();
    assert!(err.is::<Usage>() && err.to_string().contains("--force"), "{err}");
    place.say(&bus, "three").await;
    to_file(&bus, &args(&file, true), &place.cx).await.unwrap();
    assert_ne!(std::fs::read(&file).unwrap(), first);
    assert_eq!(names(place.home.path()), ["b.jsonl"]);
}

#[tokio::test]
async fn nothing_but_a_file_of_its_own_is_written_over() {
    let place = Place::new(false);
    let bus = place.furnished().await;
    let store = place.cx.config.store();
    std::fs::write(&store, "the store").unwrap();
    for path in [store.as_path(), place.home.path(), Path::new("/dev/null"), Path::new("..")] {
        let err = to_file(&bus, &args(path, true), &place.cx).await.unwrap_err();
        assert!(err.is::<Usage>(), "{}: {err:?}", path.display());
    }
    assert_eq!(std::fs::read(&store).unwrap(), b"the store");
}

#[tokio::test]
async fn a_failed_backup_leaves_what_was_there() {
    let place = Place::new(false);
    let file = place.home.path().join("b.jsonl");
    std::fs::write(&file, "before").unwrap();
    let memory = place.memory();
    memory.fail_next(1, crate::bus::BusError::NoAnswer("gone".to_owned()));
    let bus: SharedBus = memory;
    let err = to_file(&bus, &args(&file, true), &place.cx).await.unwrap_err();
    assert!(err.to_string().contains("was not written"), "{err}");
    assert_eq!(names(place.home.path()), ["b.jsonl"]);
    assert_eq!(std::fs::read(&file).unwrap(), b"before");

    let nowhere = place.home.path().join("no/such/folder/b");
    assert!(to_file(&bus, &args(&nowhere, false), &place.cx).await.is_err());
}

struct Gone;
impl io::Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn standard_output_gets_the_same() {
    let place = Place::new(false);
    let bus = place.furnished().await;
    to_output(&bus, &place.cx).await.unwrap();
    let (_, counts) = backup::verify(place.results.text().as_bytes()).await.unwrap();
    assert_eq!(place.remarks.text(), format!("wrote {counts}\n"));

    let mut place = place;
    place.cx.out = Output::to(false, Box::new(Gone), Box::new(io::sink()));
    assert!(to_output(&bus, &place.cx).await.unwrap_err().is::<Closed>());
}
