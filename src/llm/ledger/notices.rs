//! What the ledger says: what a call cost, and that a budget is nearly or wholly used up.
//!
//! Notices go to whoever looks; a warning and an exceeding raise an alert, once for each limit of each period, however many processes
//! there are; and so does a model that cannot be asked any more. Must never fail a call: what cannot be said is logged.

use super::limits::limit_of;
use super::{Call, Covered, Ledger, OverBudget, Scope, Unit};
use crate::bus::{Commit, Document, Key, Op, Outgoing};
use crate::contracts::channel::grants;
use crate::contracts::messages::{
    AlertTriggered, Alerts, BudgetExceeded, BudgetWarning, CostRecorded, Costs, Severity, Tokens,
};
use crate::contracts::wiring::{ALERTS, COSTS};
use crate::contracts::{ShapeError, TraceId};

/// Of a limit, in hundredths, from where on it is warned of.
const WARN_AT: u128 = 80;

/// Whether so much of a limit is used that it is warned of.
pub(super) fn is_nearly_used_up(claimed: u64, limit: u64) -> bool {
    limit > 0 && u128::from(claimed) * 100 >= u128::from(limit) * WARN_AT
}

/// The amount in a field of sums.
pub(super) fn amount(document: &Document, field: &str) -> u64 {
    document.get(field).and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Ledger {
    /// Says what a call cost.
    pub(super) async fn say_recorded(&self, call: &Call, tokens: Tokens, nano_usd: u64, estimated: bool) {
        let body = CostRecorded {
            call_id: call.id.clone(),
            service: call.service.to_string(),
            task: Some(call.task.to_string()),
            provider: call.provider.clone(),
            model: call.model.clone(),
            tokens,
            nano_usd,
            estimated,
        };
        self.notify(body.into(), call.trace).await;
    }

    /// Warns where a call has brought a budget to 80 %.
    pub(super) async fn warn_where_due(&self, covered: &[Covered]) {
        let limited = covered.iter().filter(|covered| covered.limits != crate::config::Limits::NONE);
        let looks = limited.map(async |covered| (covered, self.parts.bus.get(&covered.key).await));
        for (covered, sums) in futures::future::join_all(looks).await {
            let Ok(Some(state)) = sums else { continue };
            let Some(sums) = state.document() else { continue };
            for unit in Unit::ALL {
                let Some(limit) = limit_of(&covered.limits, unit) else { continue };
                let claimed = amount(sums, unit.claimed());
                if is_nearly_used_up(claimed, limit) && sums.get(&mark("warned", unit, limit)).is_none() {
                    self.say_warning(covered, unit, limit, claimed).await;
                }
            }
        }
    }

    async fn say_warning(&self, covered: &Covered, unit: Unit, limit: u64, spent: u64) {
        let scope = &covered.scope;
        let alert = alert(
            scope,
            Severity::Warning,
            format!(
                "{} of the {} that the budget `{scope}` allows are spent or reserved",
                unit.show(spent),
                unit.show(limit)
            ),
        );
        if self.alert_once(&covered.key, mark("warned", unit, limit), alert).await {
            let (limit, spent) = (unit.number(limit), unit.number(spent));
            self.notify(BudgetWarning { scope: scope.to_string(), unit: unit.of_message(), limit, spent }.into(), None)
                .await;
        }
    }

    /// Says that a call is refused.
    pub(super) async fn say_exceeded(&self, call: &Call, over: &OverBudget, covered: &[Covered]) {
        // The limit of a single call has no period of its own: it is said once a day.
        let holder = if over.scope == Scope::Call { &Scope::Day } else { &over.scope };
        let field = match over.scope {
            Scope::Call => mark("exceeded_call", over.unit, over.limit),
            _ => mark("exceeded", over.unit, over.limit),
        };
        if let Some(covered) = covered.iter().find(|covered| covered.scope == *holder) {
            let what = format!("a model call ({}: {}) was refused, because {over}", call.service, call.task);
            self.alert_once(&covered.key, field, alert(&over.scope, Severity::High, what)).await;
        }
        let body = BudgetExceeded {
            scope: over.scope.to_string(),
            unit: over.unit.of_message(),
            limit: over.unit.number(over.limit),
            spent: over.unit.number(over.spent),
            refused: Some(format!("{}: {}", call.service, call.task)),
        };
        self.notify(body.into(), call.trace).await;
    }

    /// Says that a model cannot be asked until a person acts. Once a day for each model, however many processes meet it.
    pub(in crate::llm) async fn say_down(&self, model: &str, what: &str) {
        let Some(sums) = Scope::Day.sums_key(self.parts.clock.now()) else { return };
        let fix = "`fullsend models --probe` shows who answers; correct the key, the account or the model's name, and start again";
        let alert = AlertTriggered {
            alert_id: format!("model:{model}"),
            fix: Some(fix.to_owned()),
            ..alert(&Scope::Day, Severity::High, format!("{model} cannot be asked, others answer in its place: {what}"))
        };
        self.alert_once(&sums, format!("down_{model}"), alert).await;
    }

    /// Raises an alert, unless `field` of the sums says that it was raised. Returns whether it was raised now.
    async fn alert_once(&self, sums: &Key, field: String, alert: AlertTriggered) -> bool {
        let message = match self.parts.origin.compose::<grants::Ledger, _>(ALERTS, Alerts::from(alert)) {
            Ok(message) => message,
            Err(err) => {
                tracing::error!(%err, "an alert could not be composed");
                return false;
            }
        };
        let first = Op::Add { key: sums.clone(), field, n: 1, ceiling: Some(1) };
        match self.parts.bus.commit(vec![Commit::of(vec![first, Op::Append(message)])]).await {
            Ok(outcomes) => outcomes.first().is_some_and(crate::bus::commit::Outcome::is_done),
            Err(err) => {
                tracing::warn!(%err, "an alert about a budget was not raised; the next call tries again");
                false
            }
        }
    }

    pub(super) async fn notify(&self, body: Costs, trace: Option<TraceId>) {
        let said = match self.cost_notice(body, trace) {
            Ok(notice) => self.parts.bus.notify(notice).await.map_err(|err| err.to_string()),
            Err(err) => Err(err.to_string()),
        };
        if let Err(err) = said {
            tracing::debug!(err, "a notice about costs was not said");
        }
    }

    fn cost_notice(&self, body: Costs, trace: Option<TraceId>) -> Result<Outgoing, ShapeError> {
        let mut notice = self.parts.origin.compose::<grants::Ledger, _>(COSTS, body)?;
        if let Some(trace) = trace {
            notice.envelope.trace = trace;
        }
        Ok(notice)
    }
}

/// The field that says that something was said of this limit.
fn mark(what: &str, unit: Unit, limit: u64) -> String {
    format!("{what}_{}_{limit}", unit.as_str())
}

fn alert(scope: &Scope, severity: Severity, message: String) -> AlertTriggered {
    AlertTriggered {
        alert_id: format!("budget:{scope}"),
        severity,
        message,
        fix: Some(format!("see `fullsend budget`; raise it with `fullsend budget set {scope} AMOUNT --until TIME`")),
        experiment_id: None,
        criterion: None,
        metric: None,
        value: None,
        threshold: None,
    }
}
