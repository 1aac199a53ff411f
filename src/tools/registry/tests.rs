use std::os::unix::fs::symlink;

use pretty_assertions::assert_eq;
use tempfile::TempDir;

use super::*;

const SHIPPED: &[(&str, &str)] =
    &[("csv_leads", "name = \"csv_leads\"\nversion = \"1\"\ndescription = \"d\"\neffect = \"read\"\n")];

fn manifest(name: &str, run: &str) -> String {
    format!("name = \"{name}\"\nversion = \"1\"\ndescription = \"d\"\neffect = \"none\"\nrun = [\"{run}\"]\n")
}

/// A folder of tools with one good one, `good`.
fn home() -> (TempDir, Registry) {
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::new(home.path().join("tools"), SHIPPED);
    put(&registry, "good", &manifest("good", "./main.sh"));
    (home, registry)
}

fn put(registry: &Registry, name: &str, text: &str) -> PathBuf {
    let folder = registry.folder().join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(manifest::FILE), text).unwrap();
    let program = folder.join("main.sh");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    folder
}

fn broken(registry: &Registry, name: &str) -> String {
    match registry.find(name) {
        Err(NoTool::Broken { why, .. }) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ours_and_the_homes_are_found() {
    let (_home, registry) = home();
    assert_eq!(registry.names(), ["csv_leads", "good"]);
    assert_eq!(registry.find("csv_leads").unwrap().place, Place::Shipped);
    assert_eq!(registry.find("good").unwrap().place, Place::Folder(registry.folder().join("good")));
    let missing = registry.find("goood").unwrap_err().to_string();
    assert!(missing.contains("did you mean `good`?"), "{missing}");
}

#[test]
fn every_shipped_manifest_is_sound() {
    let registry = Registry::new("/nowhere", crate::tools::shipped::MANIFESTS);
    for listed in registry.list() {
        let tool = listed.tool.unwrap_or_else(|why| panic!("{}: {why}", listed.name));
        assert_eq!(tool.manifest.name, listed.name);
    }
}

#[test]
fn no_name_leads_out_of_the_folder() {
    let (home, registry) = home();
    put(&Registry::new(home.path(), &[]), "outside", &manifest("outside", "./main.sh"));
    for name in ["../outside", "good/../../outside", "/etc", ".", "..", ".git", "", "a\0b"] {
        assert!(matches!(registry.find(name), Err(NoTool::BadName(_))), "{name}");
    }
    symlink(home.path().join("outside"), registry.folder().join("linked")).unwrap();
    assert!(broken(&registry, "linked").contains("is a link"));
    assert!(registry.list().iter().any(|listed| listed.name == "linked" && listed.tool.is_err()), "it is told of");
}

#[test]
fn no_program_leads_out_of_its_folder() {
    let (home, registry) = home();
    let folder = put(&registry, "bad", &manifest("bad", "../good/main.sh"));
    assert!(broken(&registry, "bad").contains("leads out"));
    fs::write(folder.join(manifest::FILE), manifest("bad", "/bin/sh")).unwrap();
    assert!(broken(&registry, "bad").contains("leads out"));
    fs::write(folder.join(manifest::FILE), manifest("bad", "./link")).unwrap();
    symlink("/bin/sh", folder.join("link")).unwrap();
    assert!(broken(&registry, "bad").contains("is a link"));
    fs::write(folder.join(manifest::FILE), manifest("bad", "./sub/run")).unwrap();
    symlink(home.path(), folder.join("sub")).unwrap();
    assert!(broken(&registry, "bad").contains("is a link"));
    fs::write(folder.join(manifest::FILE), manifest("bad", ".")).unwrap();
    assert!(broken(&registry, "bad").contains("is no file"));
}

#[test]
fn a_manifest_that_lies_is_refused() {
    let (_home, registry) = home();
    let folder = put(&registry, "liar", &manifest("good", "./main.sh"));
    assert!(broken(&registry, "liar").contains("it says `good`, and its folder is called `liar`"));
    fs::write(folder.join(manifest::FILE), manifest("liar", "./nothing.sh")).unwrap();
    assert!(broken(&registry, "liar").contains("there is no `./nothing.sh`"));
    fs::write(folder.join(manifest::FILE), manifest("liar", "./main.sh")).unwrap();
    fs::set_permissions(folder.join("main.sh"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(broken(&registry, "liar").contains("chmod +x"));
    fs::remove_file(folder.join(manifest::FILE)).unwrap();
    symlink("/etc/passwd", folder.join(manifest::FILE)).unwrap();
    assert!(broken(&registry, "liar").contains("links are not followed"));
    put(&registry, "csv_leads", &manifest("csv_leads", "./main.sh"));
    assert_eq!(registry.find("csv_leads").unwrap().place, Place::Shipped, "ours is used");
    let told: Vec<_> = registry.list().into_iter().filter(|listed| listed.name == "csv_leads").collect();
    assert!(told[0].tool.as_ref().unwrap_err().to_string().contains("a tool that is shipped") && told[1].tool.is_ok());
}

#[test]
fn the_folder_becomes_a_repository_that_is_its_owners_alone() {
    let home = tempfile::tempdir().unwrap();
    let registry = Registry::new(home.path().join("tools"), SHIPPED);
    assert_eq!(registry.names(), ["csv_leads"], "nothing is there yet");
    registry.make().unwrap();
    registry.make().unwrap();
    assert!(registry.folder().join(".git/HEAD").is_file());
    assert!(!registry.folder().join(".git/hooks").exists(), "no hook of a template came along");
    assert_eq!(fs::metadata(registry.folder()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(registry.names(), ["csv_leads"]);
}
