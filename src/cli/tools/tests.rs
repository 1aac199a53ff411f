use std::os::unix::fs::PermissionsExt;

use pretty_assertions::assert_eq;

use super::*;
use crate::cli::testing::{Stage, json_lines};

const MANIFEST: &str = r#"
name = "finder"
version = "1.2"
description = "Finds people."
run = ["./main"]
effect = "read"
network_params = ["url"]
secrets = ["KEY?"]
[inputs]
required = ["url"]
[inputs.properties.url]
type = "string"
description = "Where."
[inputs.properties.limit]
type = "integer"
default = 5
"#;

#[test]
fn tools_are_listed_and_shown_with_what_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new();
    let open = |json| {
        let (mut cx, results, remarks) = stage.context(json);
        cx.config.home = home.path().to_owned();
        (cx, results, remarks)
    };
    let folder = home.path().join("tools/finder");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("tool.toml"), MANIFEST).unwrap();
    std::fs::write(folder.join("main"), "#!/bin/sh\n").unwrap();
    let (cx, results, _) = open(true);
    let listed = open::registry(&cx).list();
    assert_eq!(list(&listed, &cx).unwrap(), FAILED, "one cannot be run");
    let rows = json_lines(&results.text()).remove(0);
    let finder = rows.as_array().unwrap().iter().find(|row| row["name"] == "finder").unwrap();
    assert_eq!((&finder["state"], finder["errors"].as_array().unwrap().len()), (&json!("broken"), 1));

    std::fs::set_permissions(folder.join("main"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let (cx, results, _) = open(false);
    assert_eq!(list(&open::registry(&cx).list(), &cx).unwrap(), OK);
    let text = results.text();
    let line = text.lines().find(|line| line.starts_with("finder")).unwrap();
    assert!(line.contains("1.2") && line.contains("{url}") && line.contains("KEY?"), "{line}");

    let (cx, results, _) = open(false);
    assert_eq!(show("finder", &cx).unwrap(), OK);
    let text = results.text();
    assert!(text.starts_with("finder 1.2  (") && text.contains("effect    read"), "{text}");
    assert!(
        text.lines().any(|line| line.starts_with("url") && line.contains("yes") && line.ends_with("Where.")),
        "{text}"
    );
    assert!(text.lines().any(|line| line.starts_with("limit") && line.contains('5')), "{text}");
    let missing = show("findr", &cx).unwrap_err().to_string();
    assert!(missing.contains("did you mean `finder`?"), "{missing}");
}

#[test]
fn modes_are_read_by_name() {
    assert_eq!(mode("live"), Ok(Mode::Live));
    assert_eq!(mode("dry_run"), Ok(Mode::DryRun));
    assert!(mode("Live").is_err());
}
