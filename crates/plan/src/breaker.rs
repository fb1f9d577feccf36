//! A cluster's limits as Envoy writes them.

#[cfg(test)]
mod tests;

use balance::{Breakers, RetryBudget};
use proto::envoy::config::cluster::v3::circuit_breakers::{Thresholds, thresholds};
use proto::envoy::config::cluster::v3::{CircuitBreakers, Cluster};

use crate::read::{Wrong, limit, number, percent, refuse};

/// The limits of a cluster, for requests of the usual priority; there is no other.
pub(crate) fn breakers(message: &Cluster) -> Result<Breakers, Wrong> {
    let none = CircuitBreakers::default();
    let breakers = message.circuit_breakers.as_ref().unwrap_or(&none);
    refuse(!breakers.per_host_thresholds.is_empty(), "circuit_breakers.per_host_thresholds")?;
    match breakers.thresholds.iter().find(|threshold| threshold.priority == 0) {
        None => Ok(Breakers::default()),
        Some(usual) => usually(usual).map_err(|wrong| wrong.within("circuit_breakers.thresholds")),
    }
}

fn usually(message: &Thresholds) -> Result<Breakers, Wrong> {
    let pools = number(&message.max_connection_pools);
    refuse(pools.is_some_and(|limit| limit < u32::MAX), "max_connection_pools")?;
    // The largest number stands for no limit, as istiod writes it.
    let or = |own, default| Some(number(own).unwrap_or(default)).filter(|limit| *limit < u32::MAX);
    Ok(Breakers {
        connections: or(&message.max_connections, 1024),
        pending: or(&message.max_pending_requests, 1024),
        requests: or(&message.max_requests, 1024),
        retries: or(&message.max_retries, 3),
        budget: message.retry_budget.as_ref().map(budget).transpose()?,
    })
}

fn budget(message: &thresholds::RetryBudget) -> Result<RetryBudget, Wrong> {
    let default = RetryBudget::default();
    Ok(RetryBudget {
        percent: percent(&message.budget_percent, "retry_budget.budget_percent")?.unwrap_or(default.percent),
        least: number(&message.min_retry_concurrency).unwrap_or(default.least),
        interval: limit(&message.budget_interval, "retry_budget.budget_interval")?,
    })
}
