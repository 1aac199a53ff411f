//! `github_stargazers`: who starred a repository, by GitHub's public API (<https://docs.github.com/rest/activity/starring>).
//!
//! Owns the paging (the API lists the oldest first; the newest are asked for first) and what of a profile becomes a person's fields. Takes an
//! address only from the field in which people show it. Must never ask faster than GitHub allows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::conditions::{self, Condition};
use super::http::{self, Answered, Asking, Http};
use super::{Failed, Job, fit, object};
use crate::contracts::messages::ErrorCode;
use crate::contracts::untrusted::sanitize_line;

const BASE: &str = "https://api.github.com";
/// People on a page.
const PAGE: usize = 100;
/// Most bytes of an answer.
const ANSWER: usize = 4 * 1_024 * 1_024;
/// The fields of a person.
const FIELDS: [&str; 15] = [
    "email",
    "login",
    "name",
    "first_name",
    "last_name",
    "company",
    "title",
    "location",
    "blog",
    "twitter",
    "followers",
    "profile",
    "repo_name",
    "starred_at",
    "days_ago",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    repos: Repos,
    #[serde(default = "hundred")]
    limit: usize,
    starred_within_days: Option<u32>,
    #[serde(default = "yes")]
    details: bool,
    #[serde(default)]
    filters: Vec<Map<String, Value>>,
    #[serde(default = "thousand")]
    look_at: usize,
    base_url: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Repos {
    One(String),
    Several(Vec<String>),
}

fn hundred() -> usize {
    100
}

fn thousand() -> usize {
    1_000
}

fn yes() -> bool {
    true
}

/// A star, as the API gives it.
#[derive(Deserialize)]
struct Star {
    starred_at: Option<String>,
    user: Option<User>,
}

/// A profile, as the API gives it.
#[derive(Deserialize)]
struct User {
    login: String,
    html_url: Option<String>,
    name: Option<String>,
    company: Option<String>,
    blog: Option<String>,
    location: Option<String>,
    email: Option<String>,
    bio: Option<String>,
    twitter_username: Option<String>,
    followers: Option<u64>,
}

/// What is collected.
struct Search {
    http: Http,
    base: String,
    conditions: Vec<Condition>,
    rows: Vec<Map<String, Value>>,
    seen: BTreeSet<String>,
    filtered_out: BTreeMap<String, u64>,
}

pub(super) async fn run(job: &mut Job) -> Result<Map<String, Value>, Failed> {
    let params: Params = job.params()?;
    let repos = match &params.repos {
        Repos::One(repo) => vec![repo.clone()],
        Repos::Several(repos) => repos.clone(),
    };
    if repos.is_empty() {
        return Err(Failed::params("parameter `repos`: it names no repository"));
    }
    repos.iter().try_for_each(|repo| check(repo))?;
    let fields = FIELDS.map(str::to_owned).into_iter().collect();
    let mut search = Search {
        http: Http::new(Duration::from_secs(30))?,
        base: params.base_url.clone().unwrap_or_else(|| BASE.to_owned()),
        conditions: conditions::read(&params.filters, &fields).map_err(Failed::params)?,
        rows: Vec::new(),
        seen: BTreeSet::new(),
        filtered_out: BTreeMap::new(),
    };
    let mut incomplete = None;
    for repo in &repos {
        if let Err(failed) = search.repo(job, repo, &params).await {
            // What GitHub refuses for now keeps nobody from using what is there already.
            if failed.code != ErrorCode::Transient || search.rows.is_empty() {
                return Err(failed);
            }
            job.log(&format!("it ends early: {}", failed.message))?;
            incomplete = Some(failed.message);
            break;
        }
    }
    let (rows, left_out) = fit(search.rows);
    let mut result = object(json!({
        "count": rows.len(), "rows": rows, "looked_at": search.seen.len(), "filtered_out": search.filtered_out, "left_out": left_out,
    }));
    result.extend(incomplete.map(|why| ("incomplete".to_owned(), json!(why))));
    Ok(result)
}

fn check(repo: &str) -> Result<(), Failed> {
    let fits = |part: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && part.len() <= 100 && part.chars().all(good) && !matches!(part, "." | "..")
    };
    if repo.split_once('/').is_some_and(|(owner, name)| fits(owner) && fits(name)) {
        return Ok(());
    }
    Err(Failed::params(format!("parameter `repos`: `{}` is no OWNER/NAME", sanitize_line(repo, 80))))
}

impl Search {
    async fn ask(&self, job: &mut Job, path: &str) -> Result<Answered, Failed> {
        let mut asking = Asking::get(http::url("base_url", &self.base, path)?, ANSWER)
            .header("accept", "application/vnd.github.star+json")
            .header("x-github-api-version", "2022-11-28");
        if let Some(token) = job.secret("GITHUB_TOKEN") {
            asking = asking.header("authorization", &format!("Bearer {token}"));
        }
        self.http.insist(job, &asking).await
    }

    /// The stargazers of one repository, newest first, until there are enough.
    async fn repo(&mut self, job: &mut Job, repo: &str, params: &Params) -> Result<(), Failed> {
        let path = |page: usize| format!("/repos/{repo}/stargazers?per_page={PAGE}&page={page}");
        let first = self.ask(job, &path(1)).await?;
        if first.status == 404 {
            return Err(Failed::params(format!("GitHub knows no repository `{repo}`, or it is not public")));
        }
        let last = last_page(first.header("link").unwrap_or_default()).unwrap_or(1);
        let mut first = Some(first);
        for page in (1..=last).rev() {
            let answered = if page == 1 { first.take() } else { None };
            let answered = match answered {
                Some(answered) => answered,
                None => self.ask(job, &path(page)).await?,
            };
            // Beyond its four hundredth page GitHub says 422; the newest are not to be had then.
            if answered.status == 422 && page > 1 {
                job.log(&format!("{repo}: GitHub does not show page {page}"))?;
                continue;
            }
            if !answered.is_good() {
                return Err(answered.refusal("GitHub"));
            }
            let mut stars: Vec<Star> = read(&answered.body)?;
            stars.reverse();
            for star in stars {
                if self.is_enough(params) || !self.star(job, repo, star, params).await? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn is_enough(&self, params: &Params) -> bool {
        self.rows.len() >= params.limit || self.seen.len() >= params.look_at
    }

    /// One who starred it. False where this and all older ones are too old.
    async fn star(&mut self, job: &mut Job, repo: &str, star: Star, params: &Params) -> Result<bool, Failed> {
        let now = job.clock.now();
        let at = star.starred_at.as_deref().and_then(conditions::time);
        if let (Some(days), Some(at)) = (params.starred_within_days, at)
            && now - at > TimeDelta::days(i64::from(days))
        {
            return Ok(false);
        }
        let Some(user) = star.user.filter(|user| self.seen.insert(user.login.clone())) else { return Ok(true) };
        let user = if params.details { self.profile(job, user).await? } else { user };
        let mut row = person(&user);
        row.insert("repo_name".to_owned(), json!(repo));
        row.insert("starred_at".to_owned(), json!(at));
        row.insert("days_ago".to_owned(), json!(at.map(|at| (now - at).num_days())));
        match conditions::unmet(&self.conditions, &row, now) {
            Some(unmet) => *self.filtered_out.entry(unmet.to_owned()).or_default() += 1,
            None => self.rows.push(row),
        }
        job.progress(
            self.rows.len() as u64,
            Some(params.limit as u64),
            &format!("{} people looked at", self.seen.len()),
        )?;
        Ok(true)
    }

    /// The profile; what is gone since is left as it is.
    async fn profile(&self, job: &mut Job, user: User) -> Result<User, Failed> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !user.login.chars().all(plain) {
            return Ok(user);
        }
        let answered = self.ask(job, &format!("/users/{}", user.login)).await?;
        match answered.status {
            404 => Ok(user),
            _ if answered.is_good() => read(&answered.body),
            _ => Err(answered.refusal("GitHub")),
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failed> {
    serde_json::from_slice(body).map_err(|err| {
        Failed::new(ErrorCode::Tool, sanitize_line(&format!("GitHub's answer is not what it should be: {err}"), 200))
    })
}

fn person(user: &User) -> Map<String, Value> {
    let text = |text: &Option<String>| text.as_deref().map(|text| sanitize_line(text, 300)).unwrap_or_default();
    let name = text(&user.name);
    let (first, last) = name.split_once(' ').map_or((name.as_str(), ""), |(first, last)| (first, last.trim()));
    let email = text(&user.email);
    let email = if email.parse::<lettre::Address>().is_ok() { email.to_lowercase() } else { String::new() };
    object(json!({
        "email": email, "login": user.login, "name": name, "first_name": first, "last_name": last,
        "company": text(&user.company).trim_start_matches('@').trim(), "title": text(&user.bio), "location": text(&user.location),
        "blog": text(&user.blog), "twitter": text(&user.twitter_username), "followers": user.followers, "profile": text(&user.html_url),
    }))
}

/// The last page, as the header `Link` names it.
fn last_page(link: &str) -> Option<usize> {
    let last = link.split(',').find(|part| part.contains("rel=\"last\""))?;
    let url = last.trim().trim_start_matches('<').split('>').next()?;
    let url = reqwest::Url::parse(url).ok()?;
    url.query_pairs().find(|(name, _)| name == "page")?.1.parse().ok().filter(|page| *page <= 10_000)
}
