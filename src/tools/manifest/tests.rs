use pretty_assertions::assert_eq;
use rstest::rstest;

use super::*;

const WHOLE: &str = r#"
name = "forum_members"
version = "1.2.0"
description = "Lists the members of a forum."
run = ["./main.py", "--quiet"]
secrets = ["FORUM_KEY", "PROXY_KEY?"]
network = ["Forum.Example.org:443", "[::1]:8080"]
network_params = ["base_url"]
path_params = ["list"]
timeout = "2m"
idempotent = true
effect = "read"

[inputs]
required = ["list"]
[inputs.properties]
list = { type = "string" }
base_url = { type = "string", default = "https://forum.example.org" }

[outputs]
type = "object"
"#;

fn wrong(text: &str) -> String {
    Manifest::read(text).unwrap_err().to_string()
}

#[test]
fn a_manifest_is_read_whole() {
    let manifest = Manifest::read(WHOLE).unwrap();
    assert_eq!(manifest.run, ["./main.py", "--quiet"]);
    assert_eq!(manifest.secrets.iter().map(ToString::to_string).collect::<Vec<_>>(), ["FORUM_KEY", "PROXY_KEY?"]);
    let network: Vec<_> = manifest.network.iter().map(ToString::to_string).collect();
    assert_eq!(network, ["forum.example.org:443", "[::1]:8080"]);
    assert_eq!(manifest.timeout, Some(Span(Duration::from_mins(2))));
    assert_eq!(manifest.inputs["type"], json!("object"));
    assert_eq!(manifest.inputs["additionalProperties"], json!(false), "what is not said is closed");
    assert_eq!((manifest.effect, manifest.idempotent), (Effect::Read, true));
}

#[test]
fn what_is_not_said_is_the_least() {
    let manifest = Manifest::read("name = \"a\"\nversion = \"1\"\ndescription = \"d\"\neffect = \"none\"").unwrap();
    assert!(!manifest.reaches_out() && manifest.secrets.is_empty() && !manifest.idempotent);
    assert_eq!(manifest.outputs, json!(true));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let told = wrong(
        r#"
        name = "../Evil"
        version = ""
        description = "d"
        secrets = ["lower"]
        network = ["*.example.org:443", "example.org", "0x7f.1:80", "2130706433:80"]
        path_params = ["nowhere"]
        timeout = "2h"
        effect = "none"
        [inputs]
        type = "array"
        "#,
    );
    for part in [
        "name: ",
        "version: ",
        "secrets: `lower`",
        "network: `*.example.org:443`",
        "network: `example.org`",
        "network: `0x7f.1:80`",
        "network: `2130706433:80`",
        "path_params: ",
        "timeout: ",
        "inputs: ",
    ] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
}

#[test]
fn a_manifest_that_lies_about_its_effect_is_refused() {
    let told = wrong(&WHOLE.replace("effect = \"read\"", "effect = \"none\""));
    assert!(told.contains("it says `none`, and yet it wants the network"), "{told}");
}

#[rstest]
#[case("name = \"a\"\nversion = 1\n", "line 2")]
#[case("name = \"a\"\nsudo = true\n", "unknown field `sudo`")]
#[case("name = \"a\"\nversion = \"1\"\ndescription = \"d\"\n", "effect")]
#[case("= nonsense", "line 1")]
fn what_cannot_be_read_names_its_line(#[case] text: &str, #[case] part: &str) {
    let told = wrong(text);
    assert!(told.contains(part), "{told}");
}

#[rstest]
#[case("a")]
#[case("forum_member_finder2")]
fn names_are_small_words(#[case] name: &str) {
    assert_eq!(check_name(name), Ok(name));
}

#[rstest]
#[case("")]
#[case("2a")]
#[case("_a")]
#[case("A")]
#[case("a-b")]
#[case("../a")]
#[case("a/b")]
#[case("a\0")]
#[case("ä")]
#[case("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
fn anything_else_is_no_name(#[case] name: &str) {
    assert!(check_name(name).is_err());
}

#[rstest]
#[case("https://api.example.org/v1?x=y", "api.example.org:443")]
#[case("http://127.0.0.1:8080/", "127.0.0.1:8080")]
#[case("smtp://user:pass@Mail.Example.org", "mail.example.org:25")]
#[case("smtps://mail.example.org", "mail.example.org:465")]
#[case("mail.example.org:587", "mail.example.org:587")]
#[case("http://[::1]:90/", "[::1]:90")]
fn a_url_names_a_place(#[case] url: &str, #[case] place: &str) {
    assert_eq!(HostPort::of_url(url).unwrap().to_string(), place);
}

#[rstest]
#[case("ftp://example.org/")]
#[case("https://")]
#[case("user:secret@nowhere")]
#[case("")]
fn what_names_no_place_is_refused_without_repeating_a_password(#[case] url: &str) {
    let why = HostPort::of_url(url).unwrap_err();
    assert!(!why.contains("pass@"), "{why}");
}
