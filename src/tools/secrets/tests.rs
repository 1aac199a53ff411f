use pretty_assertions::assert_eq;

use super::*;

fn secrets(home: &Path, command: &[&str]) -> Secrets {
    let variable = |name: &str| match name {
        "FROM_ENV" | "IN_BOTH" => Some("of-the-environment".to_owned()),
        "ANTHROPIC_API_KEY" | "REDIS_URL" | "FULLSEND_LLM__OPENAI__KEY" => Some("the program's own".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    Secrets::new(home, command.iter().map(|word| (*word).to_owned()).collect(), Arc::new(variable))
}

async fn value(secrets: &Secrets, name: &str) -> Option<String> {
    secrets.get(name).await.unwrap().map(|secret| secret.expose_secret().to_owned())
}

#[tokio::test]
async fn each_source_is_asked_in_order() {
    let home = tempfile::tempdir().unwrap();
    let it = secrets(home.path(), &["/bin/sh", "-c", "test $1 != NOWHERE && echo printed-$1", "-"]);
    assert!(!it.set("IN_BOTH", "of-the-file").unwrap());
    assert!(!it.set("IN_FILE", "a \"quoted\"\nvalue").unwrap());
    assert!(it.set("IN_FILE", "a \"quoted\"\nvalue = 'x'").unwrap(), "it replaced one");
    assert_eq!(value(&it, "FROM_ENV").await.unwrap(), "of-the-environment");
    assert_eq!(value(&it, "IN_BOTH").await.unwrap(), "of-the-environment");
    assert_eq!(value(&it, "IN_FILE").await.unwrap(), "a \"quoted\"\nvalue = 'x'");
    assert_eq!(value(&it, "BY_COMMAND").await.unwrap(), "printed-BY_COMMAND");
    let why = it.get("NOWHERE").await.unwrap_err().to_string();
    assert!(why.contains("did not print the secret NOWHERE"), "{why}");
    assert!(it.unset("IN_FILE").unwrap() && !it.unset("IN_FILE").unwrap());
    assert_eq!(value(&secrets(home.path(), &[]), "IN_FILE").await, None);
}

#[tokio::test]
async fn the_programs_own_are_not_for_tools() {
    let home = tempfile::tempdir().unwrap();
    let it = secrets(home.path(), &[]);
    for name in ["ANTHROPIC_API_KEY", "REDIS_URL", "FULLSEND_LLM__OPENAI__KEY", "EMPTY", "NOWHERE"] {
        assert_eq!(value(&it, name).await, None, "{name}");
    }
    it.set("ANTHROPIC_API_KEY", "one for tools").unwrap();
    assert_eq!(value(&it, "ANTHROPIC_API_KEY").await.unwrap(), "one for tools");
}

#[tokio::test]
async fn a_file_that_is_open_or_broken_is_refused_and_not_quoted() {
    let home = tempfile::tempdir().unwrap();
    let it = secrets(home.path(), &[]);
    it.set("KEY", "value-of-the-key").unwrap();
    let path = home.path().join(FILE);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(it.get("KEY").await, Err(SecretError::Open(_))));
    assert!(matches!(it.set("KEY", "other"), Err(SecretError::Open(_))));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "A = \"x\"\nKEY = value-of-the-key\n").unwrap();
    let why = it.get("KEY").await.unwrap_err().to_string();
    assert!(why.contains("line 2") && !why.contains("value-of"), "{why}");
}

#[test]
fn names_are_listed_without_values() {
    let home = tempfile::tempdir().unwrap();
    let it = secrets(home.path(), &[]);
    it.set("KEY", "value-of-the-key").unwrap();
    let names = ["FROM_ENV", "NOWHERE"].map(str::to_owned);
    let known = it.list(&names).unwrap();
    let shown: Vec<_> = known.iter().map(|known| (known.name.as_str(), known.from)).collect();
    assert_eq!(shown, [("FROM_ENV", "environment"), ("KEY", "file")]);
    assert!(!format!("{it:?}{known:?}").contains("value-of"));
    for bad in ["lower", "", "A B", "../A"] {
        assert!(matches!(it.set(bad, "x"), Err(SecretError::Name(_))), "{bad}");
    }
    for bad in ["", "a\0b"] {
        assert!(matches!(it.set("KEY", bad), Err(SecretError::Value)), "{bad:?}");
    }
}
