//! Whose the processors were while something was measured.

use serde::Serialize;

use super::spread::Spread;
use crate::proc::ProcessorTicks;

/// Processors that were busy on average, by whose work it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BusyProcessors {
    /// This process's.
    pub own: f64,
    /// Other processes' and the system's.
    pub others: f64,
    /// Other machines' on the same hardware, as the hypervisor says.
    pub stolen: f64,
}

impl BusyProcessors {
    /// Between two moments; `None` where they are too close to tell.
    pub(super) fn between(before: ProcessorTicks, after: ProcessorTicks) -> Option<BusyProcessors> {
        let since = |of: fn(ProcessorTicks) -> u64| of(after).saturating_sub(of(before));
        let (total, own, busy) = (since(|t| t.total), since(|t| t.own), since(|t| t.busy));
        let processors = |ticks: u64| ticks as f64 * after.processors as f64 / total as f64;
        (total > 0).then(|| BusyProcessors {
            own: processors(own),
            others: processors(busy.saturating_sub(own)),
            stolen: processors(since(|t| t.stolen)),
        })
    }
}

/// What the processors were busy with while the plan was measured, in processors. Others' work makes figures too low and
/// uneven.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProcessorLoad {
    /// How many the machine has.
    pub processors: u64,
    /// Busy with other processes and with the system.
    pub others: Spread,
    /// Taken by other machines on the same hardware, as the hypervisor says.
    pub stolen: Spread,
}

impl ProcessorLoad {
    /// Over all rounds of measurements.
    pub(super) fn of(rounds: &[Option<BusyProcessors>]) -> Option<ProcessorLoad> {
        let spread = |of: fn(BusyProcessors) -> f64| Spread::of_all(rounds.iter().map(|round| round.map(of)));
        Some(ProcessorLoad {
            processors: ProcessorTicks::now()?.processors,
            others: spread(|busy| busy.others)?,
            stolen: spread(|busy| busy.stolen)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_shared_out_over_processors() {
        let before = ProcessorTicks { own: 10, busy: 100, stolen: 5, total: 1000, processors: 2 };
        let after = ProcessorTicks { own: 130, busy: 250, stolen: 15, total: 1200, processors: 2 };
        let busy = BusyProcessors::between(before, after).unwrap();
        assert_eq!(busy, BusyProcessors { own: 1.2, others: 0.3, stolen: 0.1 });
        assert_eq!(BusyProcessors::between(after, after), None, "no tick between them");
        let rushed = ProcessorTicks { own: 300, ..after };
        assert_eq!(
            BusyProcessors::between(before, rushed).unwrap().others,
            0.0,
            "the two are not read at once"
        );
    }
}
