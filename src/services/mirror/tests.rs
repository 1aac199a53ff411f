use std::os::unix::fs::PermissionsExt as _;

use pretty_assertions::assert_eq;

use super::files::{Found, read, write};
use super::synced::Synced;
use super::*;

#[tokio::test]
async fn only_texts_of_a_bearable_size_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("worklist.md");
    assert_eq!(read(&path).await, Found::Nothing);
    for (bytes, wrong) in [
        (vec![b'x'; note::NOTE_LIMIT + 1], "it is larger than 1024 KiB"),
        (b"caf\xe9".to_vec(), "it is not UTF-8"),
        (b"a\0b".to_vec(), "it holds zero bytes: it is no text"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path).await, Found::Unfit(wrong.to_owned()));
    }
    std::fs::write(&path, vec![b'x'; note::NOTE_LIMIT]).unwrap();
    assert!(matches!(read(&path).await, Found::Text(_)));
    assert_eq!(read(folder.path()).await, Found::Unfit("it is no file".to_owned()));
}

#[tokio::test]
async fn a_file_is_written_whole_and_only_over_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("worklist.md");
    assert!(write(&path, "one", Some("")).await.unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!write(&path, "two", Some("zero")).await.unwrap(), "somebody else wrote it");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
    let link = folder.path().join("link.md");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(write(&link, "two", Some("one")).await.unwrap());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside it");
}

#[tokio::test]
async fn what_is_recorded_of_a_folder_is_kept_apart_from_others() {
    let home = tempfile::tempdir().unwrap();
    let record = home.path().join("mirror.json");
    let mut one = Synced::read(&record, Path::new("/one"));
    let mut two = Synced::read(&record, Path::new("/two"));
    one.set(NoteName::Worklist, 3, "d3".to_owned()).await;
    two.set(NoteName::Worklist, 5, "d5".to_owned()).await;
    one.set(NoteName::Learnings, 1, "d1".to_owned()).await;
    let again = Synced::read(&record, Path::new("/one"));
    assert_eq!((again.digest(NoteName::Worklist), again.digest(NoteName::Learnings)), (Some("d3"), Some("d1")));
    assert_eq!(Synced::read(&record, Path::new("/two")).digest(NoteName::Worklist), Some("d5"));
    one.taking(NoteName::Worklist, 4, "d4".to_owned()).await;
    let again = Synced::read(&record, Path::new("/one"));
    assert_eq!(again.all(NoteName::Worklist).collect::<Vec<_>>(), [(3, "d3"), (4, "d4")]);
    std::fs::write(&record, "torn").unwrap();
    assert_eq!(Synced::read(&record, Path::new("/one")).all(NoteName::Worklist).count(), 0);
}
