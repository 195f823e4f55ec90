//! Tokens that devices choose where the logits are: those that the host would.

use samp_runtime::{Chunk, DeviceKind, EngineError, OutputRequest, Outputs, Sampler, Sampling};

use crate::{
    engine::{alone, text},
    support::{SAMP, VOCAB, make},
};

fn samplers() -> [Sampler; 2] {
    let greedy = Sampling { seed: 3, ..Sampling::default() };
    let drawn = Sampling { temperature: 0.8, top_k: 9, top_p: 0.9, ..greedy };
    [greedy, drawn].map(|sampling| Sampler::new(sampling).unwrap())
}

#[test]
fn the_token_after_a_prompt_is_the_one_that_the_host_would_choose() {
    let plan = make(SAMP);
    for device in [DeviceKind::Cpu, DeviceKind::Reference] {
        let mut engine = plan.engine(device, None);
        for (mut sampler, length) in samplers().into_iter().zip([33, 9]) {
            let tokens = text(length, 5);
            let logits = alone(&mut engine, &tokens);
            let expected = sampler.clone().sample(&logits[logits.len() - VOCAB as usize..], &tokens).unwrap();
            let id = engine.create().unwrap();
            let sampled = engine.append_and_sample(id, &tokens, sampler.sample_request().unwrap()).unwrap();
            assert_eq!(sampler.accept(sampled).unwrap(), expected, "{device}");
            assert_eq!(engine.len(id).unwrap(), tokens.len());
        }
    }
}

#[test]
fn each_output_has_its_own_request() {
    let plan = make(SAMP);
    let mut engine = plan.engine(DeviceKind::Cpu, None);
    let ids = [engine.create().unwrap(), engine.create().unwrap()];
    let chunks = ids.map(|sequence| Chunk { sequence, tokens: &[7, 8], outputs: Outputs::Last });
    let requests = samplers().map(|sampler| sampler.sample_request().unwrap());
    let refused = engine.step_and_sample(&chunks, &requests[..1]);
    assert!(matches!(refused, Err(EngineError::SampleRequests { requests: 1, outputs: 2 })), "{refused:?}");
    let both = engine.step_and_sample(&chunks, &requests).unwrap();
    for (request, sampled) in requests.into_iter().zip(both) {
        let id = engine.create().unwrap();
        assert_eq!(engine.append_and_sample(id, &[7, 8], request).unwrap(), sampled);
    }
}

#[test]
fn whoever_wants_more_than_a_token_needs_the_logits() {
    for sampling in [
        Sampling { top_logprobs: 1, ..Sampling::default() },
        Sampling { repetition_penalty: 1.1, ..Sampling::default() },
        Sampling { presence_penalty: 0.1, ..Sampling::default() },
        Sampling { frequency_penalty: -0.1, ..Sampling::default() },
    ] {
        assert_eq!(Sampler::new(sampling).unwrap().sample_request(), None);
    }
}

/// One step samples at some outputs and gives the logits of others, each as a step of its own would.
#[test]
fn a_step_gives_at_each_output_what_is_wanted_there() {
    let plan = make(SAMP);
    for device in [DeviceKind::Cpu, DeviceKind::Reference] {
        let mut engine = plan.engine(device, None);
        let texts = [text(9, 1), text(1, 2), text(4, 3)];
        let expected = texts.clone().map(|tokens| {
            let rows = alone(&mut engine, &tokens);
            rows[rows.len() - VOCAB as usize..].to_vec()
        });
        let ids = texts.each_ref().map(|_| engine.create().unwrap());
        let chunks: Vec<Chunk<'_>> = ids
            .iter()
            .zip(&texts)
            .map(|(&sequence, tokens)| Chunk { sequence, tokens, outputs: Outputs::Last })
            .collect();
        let [mut greedy, mut drawn] = samplers();
        let wanted = [
            OutputRequest { sample: greedy.sample_request(), logits: false },
            OutputRequest { sample: None, logits: true },
            OutputRequest { sample: drawn.sample_request(), logits: true },
        ];
        let refused = engine.step_mixed(&chunks, &wanted[..2]);
        assert!(matches!(refused, Err(EngineError::SampleRequests { requests: 2, outputs: 3 })));
        let found = engine.step_mixed(&chunks, &wanted).unwrap();
        assert_eq!(
            greedy.clone().sample(&expected[0], &[]).unwrap(),
            greedy.accept(found[0].sampled).unwrap()
        );
        assert_eq!((found[0].logits.as_ref(), found[1].sampled), (None, None));
        assert_eq!(drawn.clone().sample(&expected[2], &[]).unwrap(), drawn.accept(found[2].sampled).unwrap());
        for at in [1, 2] {
            assert_eq!(found[at].logits.as_ref(), Some(&expected[at]), "{device}, output {at}");
        }
    }
}
