use std::io::Write as _;

use pretty_assertions::assert_eq;
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::super::testing::{Ran, Run};

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

async fn read(bytes: &[u8], mut params: Value) -> Ran {
    let file = file(bytes);
    params["path"] = json!(file.path());
    Run::of("csv_leads", params).go().await
}

fn emails(ran: &Ran) -> Vec<&str> {
    ran.result()["rows"].as_array().unwrap().iter().map(|row| row["email"].as_str().unwrap()).collect()
}

const PEOPLE: &str = "\
Email,First Name,Title,Employees
ada@one.example,Ada,CTO,12
grace@two.example,Grace,\"Head of Sales, EMEA\",400
ADA@one.example,Ada again,CTO,12
linus@three.example,Linus,Art Director,30
";

#[tokio::test]
async fn a_list_is_filtered_and_deduplicated() {
    let ran = read(PEOPLE.as_bytes(), json!({ "filters": [{ "title_contains": ["CTO", "Head of"] }] })).await;
    let result = ran.result();
    assert_eq!(emails(&ran), ["ada@one.example", "grace@two.example"]);
    assert_eq!(result["columns"], json!(["email", "first_name", "title", "employees"]));
    assert_eq!((&result["read"], &result["duplicates"], &result["count"]), (&json!(4), &json!(1), &json!(2)));
    assert_eq!(result["filtered_out"], json!({ "title_contains": 1 }));
}

#[tokio::test]
async fn limit_skip_and_fields_choose_what_is_given() {
    let ran = read(PEOPLE.as_bytes(), json!({ "limit": 1, "skip": 1, "fields": ["email", "title"] })).await;
    assert_eq!(ran.result()["rows"], json!([{ "email": "grace@two.example", "title": "Head of Sales, EMEA" }]));
    assert_eq!(ran.result()["left_out"], json!(1));
}

#[tokio::test]
async fn bad_rows_are_counted_and_named() {
    let list = "email,name\nada@one.example,Ada\nnobody,Nemo\n,Anon\na@b.example,x,y\n\"a\r\nBcc: x@y\"@z.example,Mallory\nshort@two.example\n";
    let ran = read(list.as_bytes(), json!({})).await;
    assert_eq!(emails(&ran), ["ada@one.example", "short@two.example"]);
    assert_eq!(ran.result()["bad_rows"], json!(4));
    let bad: Vec<_> =
        ran.result()["bad"].as_array().unwrap().iter().map(|bad| bad["reason"].as_str().unwrap()).collect();
    assert_eq!(bad[..3], ["`nobody` is no address", "it has no address", "it has 3 fields, the first line has 2"]);
    assert_eq!(ran.result()["bad"][0]["line"], json!(3));
}

#[rstest]
#[case::mark(b"\xef\xbb\xbfemail,name\nada@one.example,J\xc3\xbcrgen\n")]
#[case::semicolons(b"E-Mail;Name\r\nada@one.example;J\xc3\xbcrgen\r\n")]
#[case::tabs(b"mail\tname\nada@one.example\tJ\xc3\xbcrgen")]
#[case::bars(b"Email address|name\nada@one.example|J\xc3\xbcrgen")]
#[case::latin(b"email,name\nada@one.example,J\xfcrgen\n")]
#[case::quoted_separators(b"\"email\",\"name;x\"\nada@one.example,J\xc3\xbcrgen\n")]
#[tokio::test]
async fn encodings_and_separators_are_found(#[case] bytes: &[u8]) {
    let ran = read(bytes, json!({})).await;
    let row = &ran.result()["rows"][0];
    assert_eq!(row["email"], json!("ada@one.example"), "{}", ran.text);
    assert_eq!(row.as_object().unwrap().values().nth(1), Some(&json!("Jürgen")));
}

#[rstest]
#[case(b"\xff\xfee\0m\0", json!({}), "cannot be read: it is UTF-16; save it as UTF-8")]
#[case(b"PK\x03\x04xl", json!({}), "cannot be read: it is a spreadsheet or an archive; save it as CSV")]
#[case(b"", json!({}), "cannot be read: it is empty")]
#[case(b"a,b\n", json!({ "filters": [{ "has_email": true }] }), "filter `has_email`: the list has no field `email`; it has: a, b")]
#[case(b"a,b\n", json!({ "columns": { "email": "Contact" } }), "it has no column `Contact` (for `email`); it has: a, b")]
#[case(b"a,b\n", json!({ "dedupe_by": "c" }), "`dedupe_by`: it has no field `c`; it has: a, b")]
#[case(b"a,b\n", json!({ "limit": "many" }), "parameter `limit`")]
#[case(b"a,b\n", json!({ "delimeter": ";" }), "unknown field `delimeter`")]
#[tokio::test]
async fn what_cannot_be_read_is_said(#[case] bytes: &[u8], #[case] params: Value, #[case] expected: &str) {
    let ran = read(bytes, params).await;
    let (code, why) = ran.error();
    assert_eq!(code, "invalid_params");
    assert!(why.contains(expected), "{why}");
}

#[tokio::test]
async fn a_missing_file_and_a_folder_are_named() {
    let ran = Run::of("csv_leads", json!({ "path": "/nowhere/leads.csv" })).go().await;
    assert!(ran.error().1.starts_with("the list `/nowhere/leads.csv` cannot be read: No such file"), "{}", ran.text);
    let ran = Run::of("csv_leads", json!({ "path": "/tmp" })).go().await;
    assert!(ran.error().1.ends_with("it is a folder"), "{}", ran.text);
}

#[tokio::test]
async fn names_of_columns_are_told_apart() {
    let ran = read(b"email,Name,name,\na@b.example,1,2,3\n", json!({ "columns": { "who": "NAME" } })).await;
    let row = ran.result()["rows"][0].as_object().unwrap().clone();
    assert_eq!(row.len(), 4, "{row:?}");
}

#[tokio::test]
async fn rows_that_do_not_fit_are_told() {
    let rows: Vec<String> = (0..2_000).map(|n| format!("p{n}@one.example,{}\n", "x".repeat(200))).collect();
    let list = format!("email,note\n{}", rows.concat());
    let ran = read(list.as_bytes(), json!({ "limit": 5000 })).await;
    let (count, left_out) = (ran.result()["count"].as_u64().unwrap(), ran.result()["left_out"].as_u64().unwrap());
    assert_eq!(count + left_out, 2_000);
    assert!(left_out > 0 && ran.logs().iter().any(|text| text.contains("do not fit into one result")), "{left_out}");
    assert!(ran.text.lines().all(|line| line.len() < 256 * 1024));
}
