use super::*;
use crate::bus::BusError;
use crate::cli::testing::{Place, start};

async fn backup_of(place: &Place) -> PathBuf {
    let bus = place.furnished().await;
    let mut bytes = Vec::new();
    backup::write(&bus, start(), &mut bytes, |_| {}).await.unwrap();
    let path = place.home.path().join("b.jsonl");
    std::fs::write(&path, bytes).unwrap();
    path
}

async fn restored(place: &Place, bus: &SharedBus, path: &Path) -> color_eyre::Result<ExitCode> {
    let mut file = File::open(path).await?;
    let total = verify(&mut file, "b.jsonl").await?.total();
    restore(bus, &place.cx, &mut file, "b.jsonl", total).await
}

#[tokio::test]
async fn an_empty_bus_gets_everything_and_a_full_one_nothing() {
    let place = Place::new(true);
    let path = backup_of(&place).await;
    let bus: SharedBus = place.memory();
    assert_eq!(restored(&place, &bus, &path).await.unwrap(), OK);
    let said: serde_json::Value = serde_json::from_str(&place.results.text()).unwrap();
    assert_eq!((said["records"].as_u64(), said["counts"]["messages"].as_u64()), (Some(7), Some(2)));
    let before = backup::tally(&place.furnished().await).await.unwrap();
    assert_eq!(backup::tally(&bus).await.unwrap().counts, before.counts);

    let err = restored(&place, &bus, &path).await.unwrap_err();
    assert!(matches!(err.downcast_ref(), Some(BusError::NotEmpty(_))), "{err:?}");
    assert!(err.to_string().contains("not empty"));
}

#[tokio::test]
async fn a_broken_file_names_its_line() {
    let place = Place::new(false);
    let path = backup_of(&place).await;
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    let err = restored(&place, &(place.memory() as SharedBus), &path).await.unwrap_err();
    let said = format!("{err:#}");
    assert!(said.contains("nothing was written") && said.contains("line ") && said.contains("cut off"), "{said}");
}

#[tokio::test]
async fn standard_input_is_kept_without_a_name() {
    let place = Place::new(false);
    let path = backup_of(&place).await;
    let bytes = std::fs::read(&path).unwrap();
    let spool = place.home.path().join("spool");
    let mut file = spooled(bytes.as_slice(), &spool).await.unwrap();
    assert!(!spool.exists());
    assert_eq!(verify(&mut file, "-").await.unwrap().total(), 7);
}
