//! Llama-3-70B in its real sizes: 80 layers, what fits in 38 GB, fused projections that are split, the KV cache.

use samp_abi::{Format, ScaleAxis};
use samp_passes::assignment::{
    Choice, Error, Group, Limit, Member, Problem, Resource, Solution, SolveRequest, Unit, solve,
};

/// Format, bits per weight, bytes of scales per row, relative error.
type Stored = (Format, f64, f64, f64);

const NF4: Stored = (Format::Nf4, 4.127, 0.0, 1.0);
const INT8: Stored = (Format::INT8, 8.0, 4.0, 0.004);
const FP8: Stored = (Format::Fp8E4m3(ScaleAxis::Channel), 8.0, 4.0, 0.03);
const F16: Stored = (Format::F16, 16.0, 0.0, 1e-7);
const F32: Stored = (Format::F32, 32.0, 0.0, 0.0);

/// The time of a step over one token.
const TIME: Resource = Resource::StepTime { tokens: 1 };

const HIDDEN: f64 = 8192.0;
const KV: f64 = 1024.0;
const INNER: f64 = 28672.0;
const VOCABULARY: f64 = 128_256.0;

fn choices([rows, columns]: [f64; 2], sensitivity: f64, formats: &[Stored]) -> Vec<Choice> {
    let choice = |&(format, bits, row_scale, error): &Stored| {
        let bytes = rows * columns * bits / 8.0 + rows * row_scale;
        // 3.35 TB/s, and 2 µs to launch a kernel.
        costing(format, bytes, 2e3 + bytes / 3350.0, sensitivity * error * rows * columns)
    };
    formats.iter().map(choice).collect()
}

fn costing(format: Format, bytes: f64, nanos: f64, nats: f64) -> Choice {
    let costs = [(Resource::WeightBytes, bytes), (TIME, nanos), (Resource::Loss, nats)];
    Choice { format, costs: costs.into_iter().collect() }
}

/// All layers with the given formats for attention, MLP, and embedding and head.
fn model(attention: &[Stored], mlp: &[Stored], ends: &[Stored]) -> Problem {
    let mut groups = vec![Group::new("embed_tokens", choices([VOCABULARY, HIDDEN], 1e-15, ends))];
    for layer in 0..80 {
        // Early and late layers matter more than those in the middle.
        let sensitivity = 1e-14 * (1.0 + f64::from(layer - 40).powi(2) / 400.0);
        let mut add = |name: &str, rows: f64, columns: f64, formats: &[Stored]| {
            groups.push(Group::new(
                format!("layers.{layer}.{name}"),
                choices([rows, columns], sensitivity, formats),
            ));
        };
        add("self_attn.qkv_proj", HIDDEN + 2.0 * KV, HIDDEN, attention);
        add("self_attn.o_proj", HIDDEN, HIDDEN, attention);
        add("mlp.gate_up_proj", 2.0 * INNER, HIDDEN, mlp);
        add("mlp.down_proj", HIDDEN, INNER, mlp);
    }
    groups.push(Group::new("norms", choices([161.0, HIDDEN], 0.0, &[F32])));
    groups.push(Group::new("lm_head", choices([VOCABULARY, HIDDEN], 1e-14, ends)));
    Problem { resources: vec![Resource::WeightBytes, TIME, Resource::Loss], groups }
}

fn name(problem: &Problem, solution: &Solution, group: &str) -> String {
    let at = problem.groups.iter().position(|g| g.name == group).expect("a group of the model");
    let chosen = &solution.chosen[at];
    let members = &problem.groups[at].alternatives[chosen.alternative].members;
    let names = members.iter().zip(&chosen.choices).map(|(p, &c)| p.choices[c].format.name());
    names.collect::<Vec<_>>().join(" ")
}

fn in_38_gb() -> SolveRequest {
    SolveRequest::new(Resource::Loss, vec![Limit::new(Resource::WeightBytes, 38e9)])
}

#[test]
fn attention_in_fp8_does_not_fit_in_38_gb_and_the_error_says_what_does() {
    let problem = model(&[FP8, F16], &[NF4, INT8], &[F16]);
    let error = solve(&problem, &in_38_gb()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "weight bytes: every plan needs at least 45.37 GB, the limit is 38 GB. What satisfies all other limits needs \
         weight bytes 45.37 GB (7.374 GB more)."
    );
    let Error::Infeasible(why) = error else { panic!("{error}") };
    let needed = why.relaxations[0].alone.expect("weights are the only limit");
    let mut request = in_38_gb();
    request.limits[0].most = needed;
    assert_eq!(solve(&problem, &request).unwrap().totals[&Resource::WeightBytes], needed);
}

#[test]
fn limits_that_exclude_each_other_are_told_apart_from_those_that_need_one_change() {
    let problem = model(&[NF4, FP8], &[NF4, INT8], &[FP8, F16]);
    let mut request = in_38_gb();
    request.limits.push(Limit::new(Resource::Loss, 1e-4));
    let error = solve(&problem, &request).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "No plan satisfies all of: weight bytes 38 GB, loss 0.0001 nats. Any one is enough: "
        ),
        "{error}"
    );
    request.limits = vec![Limit::new(Resource::WeightBytes, 30e9), Limit::new(TIME, 9e6)];
    let error = solve(&problem, &request).unwrap_err().to_string();
    assert!(error.contains("every plan needs at least 37.42 GB, the limit is 30 GB"), "{error}");
    assert!(
        error.contains("No single change is enough; together: weight bytes 37.42 GB (7.42 GB more), time"),
        "{error}"
    );
}

#[test]
fn all_in_nf4_with_fp8_ends_is_the_smallest_plan_and_what_is_left_of_38_gb_goes_where_it_matters() {
    let problem = model(&[NF4, FP8, INT8, F16], &[NF4, FP8, INT8, F16], &[FP8, F16]);
    let smallest = solve(&problem, &SolveRequest::new(Resource::WeightBytes, vec![])).unwrap();
    assert_eq!(Unit::Bytes.show(smallest.totals[&Resource::WeightBytes]), "37.42 GB");
    let solution = solve(&problem, &in_38_gb()).unwrap();
    assert!(solution.totals[&Resource::WeightBytes] <= 38e9 && solution.gap <= 1e-4, "{solution:?}");
    let better = |layer: usize| {
        let of_layer = problem.groups.iter().filter(|g| g.name.starts_with(&format!("layers.{layer}.")));
        of_layer.filter(|g| name(&problem, &solution, &g.name) != "nf4").count()
    };
    assert!(better(0) > 0 && better(40) == 0, "{solution:?}");
    let price = solution.limits[0].to_string();
    assert!(
        price.starts_with("weight bytes: 38 GB of 38 GB") && price.contains("1 GB more buys −"),
        "{price}"
    );
}

#[test]
fn a_price_is_the_most_that_a_higher_limit_can_buy() {
    let problem = model(&[NF4, FP8, INT8, F16], &[NF4, FP8, INT8, F16], &[FP8, F16]);
    let at = |bytes: f64| {
        solve(&problem, &SolveRequest::new(Resource::Loss, vec![Limit::new(Resource::WeightBytes, bytes)]))
            .unwrap()
    };
    let before = at(45e9);
    for more in [0.1e9, 0.5e9, 2e9] {
        let (bought, priced) = (before.objective - at(45e9 + more).objective, -before.limits[0].price * more);
        let slack = 2e-4 * before.objective;
        assert!(bought >= 0.5 * priced - slack && bought <= priced + slack, "{bought} against {priced}");
    }
}

#[test]
fn a_fused_group_is_split_where_that_is_better() {
    let mut problem = model(&[NF4], &[NF4], &[F16]);
    let fused = choices([HIDDEN + 2.0 * KV, HIDDEN], 1.09e-13, &[NF4, INT8]);
    // The value projection is far more sensitive than the two others.
    let member = |name: &str, rows: f64, sensitivity: f64| {
        let name = format!("layers.0.self_attn.{name}");
        Member { name, choices: choices([rows, HIDDEN], sensitivity, &[NF4, INT8]) }
    };
    let members =
        vec![member("q_proj", HIDDEN, 1e-14), member("k_proj", KV, 1e-14), member("v_proj", KV, 1e-12)];
    problem.groups[1] = Group::new("layers.0.self_attn.qkv_proj", fused).or_split(members);
    let taken = |limits: Vec<Limit>| {
        let solution = solve(&problem, &SolveRequest::new(Resource::Loss, limits)).unwrap();
        name(&problem, &solution, "layers.0.self_attn.qkv_proj")
    };
    let least = solve(&problem, &SolveRequest::new(Resource::WeightBytes, vec![])).unwrap();
    let bytes = |more: f64| Limit::new(Resource::WeightBytes, least.totals[&Resource::WeightBytes] + more);
    assert_eq!(taken(vec![bytes(0.0)]), "nf4", "with one format fused is as good, and first");
    assert_eq!(taken(vec![bytes(5e6)]), "nf4 nf4 int8");
    // Two more kernels take 4 µs; where they do not fit, one format has to do.
    let quickest = solve(&problem, &SolveRequest::new(TIME, vec![])).unwrap();
    let hurry = Limit::new(TIME, quickest.totals[&TIME] + 3e3);
    assert_eq!(taken(vec![bytes(5e6), hurry]), "nf4");
}

#[test]
fn the_kv_cache_pays_for_weights() {
    let mut problem = model(&[NF4, INT8], &[NF4, INT8], &[F16]);
    // 16 sequences of 8192 tokens.
    let cache = |format, per_token: f64, nats: f64| {
        let bytes = per_token * 16.0 * 8192.0;
        costing(format, bytes, bytes / 3350.0, nats)
    };
    problem
        .groups
        .push(Group::new("kv_cache", vec![cache(F16.0, 327_680.0, 0.0), cache(FP8.0, 163_840.0, 1e-4)]));
    let taken = |bytes: f64| {
        let solution = solve(
            &problem,
            &SolveRequest::new(Resource::Loss, vec![Limit::new(Resource::WeightBytes, bytes)]),
        )
        .unwrap();
        name(&problem, &solution, "kv_cache")
    };
    assert_eq!(taken(75e9), "fp8_e4m3");
    assert_eq!(taken(130e9), "f16");
}
