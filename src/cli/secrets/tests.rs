use pretty_assertions::assert_eq;

use super::*;
use crate::cli::testing::{Stage, json_lines};

#[test]
fn a_secret_is_kept_listed_by_name_and_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new();
    let open = |json| {
        let (mut cx, results, remarks) = stage.context(json);
        cx.config.home = home.path().to_owned();
        (cx, results, remarks)
    };
    let (cx, results, _) = open(false);
    assert_eq!(set("RESEND_API_KEY", &"re_0123456789".into(), &cx).unwrap(), OK);
    assert_eq!(set("RESEND_API_KEY", &"re_9876543210".into(), &cx).unwrap(), OK);
    assert_eq!(results.text(), "RESEND_API_KEY is kept\nRESEND_API_KEY is kept, in the place of the former one\n");
    assert!(set("RESEND_API_KEY", &"".into(), &cx).is_err());
    assert!(set("lower", &"x".into(), &cx).is_err());

    let folder = cx.config.tools_folder().join("poster");
    std::fs::create_dir_all(&folder).unwrap();
    let manifest = "name = \"poster\"\nversion = \"1\"\ndescription = \"d\"\nrun = [\"./main\"]\neffect = \"outward\"\nsecrets = [\"RESEND_API_KEY\", \"NOBODY_HAS_IT\"]\n";
    std::fs::write(folder.join("tool.toml"), manifest).unwrap();
    std::fs::write(folder.join("main"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(folder.join("main"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let (cx, results, _) = open(true);
    list(&cx).unwrap();
    let shown = json_lines(&results.text()).remove(0);
    let row = |name: &str| shown.as_array().unwrap().iter().find(|row| row["name"] == name).cloned().unwrap();
    assert_eq!(
        row("RESEND_API_KEY"),
        json!({ "name": "RESEND_API_KEY", "from": "file", "tools": ["email_send", "poster"] })
    );
    assert_eq!(row("NOBODY_HAS_IT")["from"], "missing");
    assert!(!results.text().contains("9876543210"));

    let (cx, results, remarks) = open(false);
    let unset = Args { action: Action::Unset { name: "RESEND_API_KEY".to_owned() } };
    assert_eq!(run(&unset, &cx).unwrap(), OK);
    assert_eq!(run(&unset, &cx).unwrap(), FAILED);
    assert_eq!(results.text(), "RESEND_API_KEY is forgotten\n");
    assert_eq!(remarks.text(), "there was no RESEND_API_KEY in the home\n");
}
