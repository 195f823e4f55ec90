//! What is said about requests that no plan satisfies, held against every plan.

use proptest::prelude::*;
use samp_passes::assignment::{Error, Limit, explain_infeasible, solve};

use super::random::{asked, least};

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn explanations_hold_when_tried((problem, request) in asked()) {
        let why = explain_infeasible(&problem, &request).unwrap();
        let near = |found: f64, exact: f64| (found - exact).abs() <= 1e-5 * exact.abs() + 1e-12;
        for (i, (limit, relaxation)) in request.limits.iter().zip(&why.relaxations).enumerate() {
            let exact = least(&problem, &limit.resource, &[]).unwrap();
            prop_assert!(near(relaxation.least, exact), "expected {exact}, found {relaxation:?}");
            let others = [&request.limits[..i], &request.limits[i + 1..]].concat();
            match (least(&problem, &limit.resource, &others), relaxation.alone) {
                (Some(exact), Some(alone)) => prop_assert!(near(alone, exact), "expected {exact}, found {alone}"),
                (exact, alone) => prop_assert_eq!(exact, alone),
            }
            if let Some(alone) = relaxation.alone {
                let mut raised = request.clone();
                raised.limits[i].most = alone;
                prop_assert!(solve(&problem, &raised).is_ok(), "{relaxation:?} is not enough");
            }
        }
        let limits = request.limits.iter().zip(&why.relaxations);
        let together: Vec<Limit> = limits.map(|(l, r)| Limit::new(l.resource.clone(), r.together)).collect();
        let mut raised = request.clone();
        raised.limits = together;
        prop_assert!(solve(&problem, &raised).is_ok(), "{why:?}");
        if let Err(Error::Infeasible(told)) = solve(&problem, &request) {
            prop_assert!(told.relaxations.iter().all(|r| r.alone.is_none_or(|a| a > r.most)), "{told:?}");
            prop_assert_eq!(told.as_ref(), &why);
        }
    }
}
