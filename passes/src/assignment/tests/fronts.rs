//! Pareto fronts against those of all plans.

use super::drawn::{Draws, EXACT, all_plans, problem};
use crate::assignment::{Axis, Problem, Quantity, Request, front};

const AXES: [Quantity; 2] = [Quantity::DeviceBytes, Quantity::Decode(1)];

#[test]
fn a_fine_sweep_finds_the_whole_front() {
    let mut draws = Draws(4);
    for round in 0..60 {
        let problem = problem(&mut draws);
        let axes = &AXES[..1 + round % 2];
        let request = Request { objective: Quantity::Loss, limits: vec![], effort: EXACT };
        let steps = [4000, 40][round % 2];
        let asked: Vec<Axis> = axes.iter().map(|&quantity| Axis { quantity, steps }).collect();
        let found = front(&problem, &request, &asked).unwrap();
        let exact = exhaustive(&problem, axes);
        for point in &found {
            assert!(exact.iter().any(|e| near(e, &point.values)), "{point:?} is beaten by another plan");
        }
        if axes.len() == 1 {
            let missed = exact.iter().filter(|e| !found.iter().any(|p| near(e, &p.values))).count();
            assert!(missed * 50 <= exact.len(), "{missed} of {} points missed", exact.len());
        }
        let axis = |p: &[f64]| p[1];
        assert!(found.windows(2).all(|p| axis(&p[0].values) <= axis(&p[1].values)));
    }
}

fn exhaustive(problem: &Problem, axes: &[Quantity]) -> Vec<Vec<f64>> {
    let quantities = [&[Quantity::Loss], axes].concat();
    let plans = all_plans(problem);
    let all: Vec<Vec<f64>> =
        plans.iter().map(|p| quantities.iter().map(|&q| problem.total(q, p)).collect()).collect();
    let beats = |a: &[f64], b: &[f64]| a != b && a.iter().zip(b).all(|(x, y)| x <= y);
    let mut points: Vec<Vec<f64>> = all.iter().filter(|b| !all.iter().any(|a| beats(a, b))).cloned().collect();
    points.dedup();
    points
}

fn near(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(x, y)| (x - y).abs() <= 1e-8 * x.abs() + 1e-12)
}
