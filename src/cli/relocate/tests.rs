use super::*;
use crate::bus::Key;
use crate::cli::testing::{Place, take};
use crate::config::{Environment, Flag};

async fn moved(place: &Place, from: &SharedBus, to: &SharedBus, force: bool) -> color_eyre::Result<ExitCode> {
    relocate(from, to, &place.cx, force, "to use it, do this").await
}

#[tokio::test]
async fn everything_is_there_afterwards_and_the_old_bus_as_it_was() {
    let place = Place::new(false);
    let (from, to) = (place.furnished().await, place.memory() as SharedBus);
    let before = backup::tally(&from).await.unwrap();
    place.clock.advance(Duration::from_secs(6));
    assert_eq!(moved(&place, &from, &to, false).await.unwrap(), OK);
    let said = place.results.text();
    assert!(said.contains("2 messages") && said.contains("both hold the same\nto use it, do this"), "{said}");
    for bus in [&from, &to] {
        assert_eq!(before.difference(&backup::tally(bus).await.unwrap(), place.cx.clock.now()), None);
    }
    let again = moved(&place, &from, &to, false).await.unwrap_err();
    assert!(matches!(again.downcast_ref(), Some(BusError::NotEmpty(_))), "{again:?}");
}

#[tokio::test]
async fn a_bus_in_use_is_left_alone() {
    let place = Place::new(true);
    let (from, to) = (place.furnished().await, place.memory() as SharedBus);
    let err = moved(&place, &from, &to, false).await.unwrap_err();
    assert!(err.to_string().contains("`echo@h#0` worked on fullsend:echo 0 ms ago"), "{err}");

    place.clock.advance(Duration::from_secs(6));
    for lease in ["trimmer", "slot:echo@h#0"] {
        from.lease(lease, "somebody", Duration::from_mins(1)).await.unwrap();
        let err = moved(&place, &from, &to, false).await.unwrap_err();
        assert!(err.to_string().contains(&format!("holds the lease `{lease}`")), "{err}");
        from.unlease(lease, "somebody").await.unwrap();
    }
    assert_eq!(backup::tally(&to).await.unwrap().counts.total(), 0);

    take(&from, ChannelName::Echo, 1).await;
    assert_eq!(moved(&place, &from, &to, true).await.unwrap(), OK);
    let said: serde_json::Value = serde_json::from_str(&place.results.text()).unwrap();
    assert_eq!((said["counts"]["pending"].as_u64(), said["next"].as_str()), (Some(2), Some("to use it, do this")));
}

#[tokio::test]
async fn what_differs_afterwards_is_said() {
    let place = Place::new(false);
    let (from, to) = (place.furnished().await, place.memory() as SharedBus);
    let sent = backup::copy(&from, &to, |_| {}).await.unwrap();
    let add = |n| crate::bus::Op::Add { key: Key::new("echo:echo"), field: "handled".to_owned(), n, ceiling: None };
    let change = |n| vec![crate::bus::Commit::of(vec![add(n)])];
    compare(&from, &to, &place.cx, &sent).await.unwrap();
    to.commit(change(1)).await.unwrap();
    let err = compare(&from, &to, &place.cx, &sent).await.unwrap_err();
    assert!(err.to_string().contains("what arrived is not what was sent"), "{err}");
    to.commit(change(-1)).await.unwrap();
    compare(&from, &to, &place.cx, &sent).await.unwrap();
    from.commit(change(1)).await.unwrap();
    let err = compare(&from, &to, &place.cx, &sent).await.unwrap_err();
    assert!(err.to_string().contains("has changed while it was moved"), "{err}");
}

fn config(place: &Place, file: Option<&str>, vars: &[(&str, &str)], flag: Option<&str>) -> Config {
    let path = place.home.path().join("fullsend.toml");
    match file {
        Some(text) => std::fs::write(&path, text).unwrap(),
        None => drop(std::fs::remove_file(&path)),
    }
    let env = Environment {
        vars: vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
        folder: place.home.path().to_owned(),
        user: None,
        config_home: None,
        state_home: None,
    };
    let home = Flag { key: "home", name: "--home", value: place.home.path().display().to_string().into() };
    let bus = flag.map(|url| Flag { key: "bus.url", name: "--bus", value: url.to_owned().into() });
    Config::load(&env, None, &[Some(home), bus].into_iter().flatten().collect::<Vec<_>>()).unwrap()
}

#[test]
fn the_place_to_change_is_named_without_the_password() {
    let place = Place::new(false);
    let (new, old) = (Some("redis://u:***@new"), "redis://old");
    let said = |config: &Config, url| advice(config, url);

    let text = said(&config(&place, Some("[bus]\nurl = \"redis://old\"\n"), &[], None), new);
    assert!(text.contains("line 2 of ") && text.contains("url = \"redis://u:***@new\""), "{text}");
    assert!(text.contains("in the place of ***"), "{text}");
    let text = said(&config(&place, None, &[("REDIS_URL", old)], None), Some("redis://new"));
    assert!(text.contains("REDIS_URL=redis://new") && !text.contains("***"), "{text}");
    let text = said(&config(&place, None, &[("REDIS_URL", old)], None), None);
    assert!(text.contains("take REDIS_URL out of the environment") && text.contains("and keep --home /"), "{text}");
    let text = said(&config(&place, None, &[], Some(old)), None);
    assert!(text.contains("--bus embedded"), "{text}");
    let text = said(&config(&place, None, &[], None), Some("redis://new"));
    assert!(text.contains("[bus]\n  url = \"redis://new\""), "{text}");
}
