//! What a specification that a person wrote is checked against: the team's tools, and the people that its lists hold.

use serde_json::Value;

use super::Fullsend;
use crate::bus::{Context, Failure, Key, State};
use crate::contracts::channel::grants;
use crate::contracts::keys;
use crate::experiments::check::Known;
use crate::experiments::read::read_with;
use crate::memory::TeamContext;

impl Fullsend {
    /// What is known for this text: what the team's own tools take, and the columns of the lists that it reads.
    pub(super) async fn known(
        &self,
        text: &str,
        team: &TeamContext,
        cx: &Context<grants::Fullsend>,
    ) -> Result<Known, Failure> {
        let tools = team.tools.iter().map(|name| (name.clone(), None)).collect();
        let mut known = Known { tools, ..Known::default() };
        let Some(draft) = read_with(text, &known).draft else { return Ok(known) };
        for step in &draft.execution.steps {
            let path = step.params.get("path").and_then(Value::as_str).filter(|_| step.tool == "csv_leads");
            if let Some(path) = path {
                match self.look(path.to_owned(), 0).await {
                    Some((_, look)) => known.saw(step, Ok(&look)),
                    None => known.saw(step, Err(format!("{path} cannot be read where FULLSEND runs"))),
                }
            } else if let (Some(inputs), Ok(key)) = (known.tools.get_mut(&step.tool), keys::tool(&step.tool))
                && let Some(State::Hash(document)) = cx.bus().get(&Key::new(key)).await?
            {
                *inputs = document.get("inputs").and_then(|text| serde_json::from_str(text).ok());
            }
        }
        Ok(known)
    }
}
