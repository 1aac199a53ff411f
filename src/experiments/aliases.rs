//! What the shipped tools are called elsewhere, and what the people that they find have.
//!
//! Owns the names under which others know them, so that a specification for another system can be put right. What a tool takes is read in its
//! manifest.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

/// A shipped tool as specifications know it.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// Names of tools of others that it stands in for.
    pub aliases: &'static [&'static str],
    /// Parameters that are called otherwise there, and how here.
    pub renamed: &'static [(&'static str, &'static str)],
    /// Its manifest.
    manifest: &'static str,
    /// The fields of each of the `rows` that it gives; empty where that depends.
    pub columns: &'static [&'static str],
    /// Whether it gives people.
    pub finds_people: bool,
}

/// The tools that are shipped.
pub const SHIPPED: &[Shipped] = &[
    Shipped {
        name: "csv_leads",
        aliases: &["csv_reader", "csv_loader", "read_csv", "lead_list", "load_leads"],
        renamed: &[("file", "path"), ("csv_path", "path"), ("filename", "path"), ("max_results", "limit")],
        manifest: include_str!("../tools/shipped/csv_leads.toml"),
        columns: &[],
        finds_people: true,
    },
    Shipped {
        name: "github_stargazers",
        aliases: &[
            "github_stargazer_scraper",
            "github_stargazers_scraper",
            "github_stargazer_finder",
            "github_cto_enricher",
            "github_scraper",
        ],
        renamed: &[
            ("repo", "repos"),
            ("max_results", "limit"),
            ("days_ago", "starred_within_days"),
            ("timeframe_days", "starred_within_days"),
            ("since_days", "starred_within_days"),
        ],
        manifest: include_str!("../tools/shipped/github_stargazers.toml"),
        columns: &[
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
        ],
        finds_people: true,
    },
    Shipped {
        name: "hn_who_is_hiring",
        aliases: &["hn_hiring", "hackernews_hiring", "hn_jobs_scraper", "job_posting_finder", "browserbase_job_finder"],
        renamed: &[("max_results", "limit"), ("topics", "keywords"), ("query", "keywords")],
        manifest: include_str!("../tools/shipped/hn_who_is_hiring.toml"),
        columns: &["email", "company", "role", "location", "remote", "text", "author", "link", "posted_at"],
        finds_people: true,
    },
    Shipped {
        name: "web_page",
        aliases: &["browserbase_research", "web_scraper", "page_scraper", "fetch_page"],
        renamed: &[("url", "urls"), ("link", "urls"), ("page", "urls")],
        manifest: include_str!("../tools/shipped/web_page.toml"),
        columns: &[],
        finds_people: false,
    },
    Shipped {
        name: "email_send",
        aliases: &[
            "cold_email_sender",
            "email_sender",
            "send_email",
            "send_emails",
            "mail_sender",
            "bulk_email_sender",
            "resend_email_sender",
        ],
        renamed: &[("sender_email", "sender"), ("from", "sender"), ("body", "template"), ("to", "recipients")],
        manifest: include_str!("../tools/shipped/email_send.toml"),
        columns: &[],
        finds_people: false,
    },
    Shipped {
        name: "email_replies",
        aliases: &["reply_monitor", "inbox_monitor", "email_reply_tracker"],
        renamed: &[],
        manifest: include_str!("../tools/shipped/email_replies.toml"),
        columns: &[],
        finds_people: false,
    },
    Shipped {
        name: "webhook_post",
        aliases: &["webhook", "http_post", "post_webhook"],
        renamed: &[("endpoint", "url")],
        manifest: include_str!("../tools/shipped/webhook_post.toml"),
        columns: &[],
        finds_people: false,
    },
    Shipped {
        name: "simulated_audience",
        aliases: &["audience_simulator", "fake_audience", "market_simulator"],
        renamed: &[("count", "size"), ("limit", "size")],
        manifest: include_str!("../tools/shipped/simulated_audience.toml"),
        columns: &["email", "first_name", "last_name", "name", "company", "title", "segment"],
        finds_people: true,
    },
];

/// What each of them takes.
static INPUTS: LazyLock<BTreeMap<&'static str, Value>> = LazyLock::new(|| {
    let inputs = |tool: &Shipped| {
        let manifest: Map<String, Value> = toml::from_str(tool.manifest).ok()?;
        Some((tool.name, manifest.get("inputs")?.clone()))
    };
    SHIPPED.iter().filter_map(inputs).collect()
});

/// What a shipped tool takes, as JSON Schema.
pub fn inputs(name: &str) -> Option<&'static Value> {
    INPUTS.get(name)
}

impl Shipped {
    /// Whether it takes a parameter.
    pub fn takes(&self, name: &str) -> bool {
        inputs(self.name).and_then(|inputs| inputs.get("properties")?.get(name)).is_some()
    }
}

/// The shipped tool with this name.
pub fn shipped(name: &str) -> Option<&'static Shipped> {
    SHIPPED.iter().find(|tool| tool.name == name)
}

/// The shipped tool that does what a tool with this name does elsewhere; none for one that is shipped itself.
pub fn stands_in_for(name: &str) -> Option<&'static Shipped> {
    let folded = name.trim().to_lowercase().replace([' ', '-'], "_");
    if shipped(&folded).is_some_and(|tool| tool.name == name) {
        return None;
    }
    SHIPPED.iter().find(|tool| tool.name == folded || tool.aliases.contains(&folded.as_str()))
}

/// Whether this tool sends mail, under any of its names.
pub fn sends_mail(name: &str) -> bool {
    let tool = shipped(name).or_else(|| stands_in_for(name));
    tool.is_some_and(|tool| tool.name == super::steps::SENDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_means_one_tool() {
        let mut names: Vec<_> = SHIPPED.iter().flat_map(|tool| tool.aliases.iter().chain([&tool.name])).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(stands_in_for("GitHub-Stargazer Scraper").map(|tool| tool.name), Some("github_stargazers"));
        assert!(stands_in_for("email_send").is_none() && stands_in_for("producthunt_maker_scraper").is_none());
        assert!(sends_mail("cold_email_sender") && sends_mail("email_send") && !sends_mail("web_page"));
    }
}
