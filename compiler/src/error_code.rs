//! Stable codes of what the compiler refuses or warns of. Each is declared here, once in the workspace, and means one thing.

/// A file of the checkpoint cannot be read.
pub const UNREADABLE: &str = "E0301";
/// A file of the checkpoint is not the JSON object that it should be.
pub const JSON: &str = "E0302";
/// A key of `config.json` has a wrong value, or contradicts another.
pub const CONFIG_VALUE: &str = "E0303";
/// A key of `config.json` is missing.
pub const CONFIG_MISSING: &str = "E0304";
/// A key of `config.json` is not known.
pub const CONFIG_KEY: &str = "E0305";
/// `config.json` asks for something that samp does not compile.
pub const UNSUPPORTED: &str = "E0306";
/// The context is longer than the model was trained for (warning).
pub const CONTEXT: &str = "E0307";
/// A directory has no weights, or more than one set.
pub const WEIGHTS: &str = "E0310";
/// A safetensors file contradicts its format.
pub const SAFETENSORS: &str = "E0311";
/// The index of a sharded checkpoint contradicts its format or the shards.
pub const INDEX: &str = "E0312";
/// A file of the checkpoint changed after it was opened.
pub const CHANGED: &str = "E0313";
/// The tensors are not the ones that the architecture has.
pub const BINDING: &str = "E0320";
/// Tensors are left out because nothing reads them (warning).
pub const UNREAD_TENSORS: &str = "E0321";
/// A file that text needs is missing or damaged.
pub const CARRIED: &str = "E0330";
/// The text cannot be read as a recipe.
pub const MALFORMED_RECIPE: &str = "E0403";
/// There is no recipe of this name.
pub const UNKNOWN_RECIPE: &str = "E0404";
/// The recipe says what is not decided by it: quality passes without calibration, or formats with it.
pub const MISPLACED_RECIPE: &str = "E0412";
/// The planned graph lacks what the pipeline should have put there.
pub const LOWERING_BUG: &str = "E0701";
/// The transforms of a weight do not go with its sources, or are not known.
pub const TRANSFORMS: &str = "E0702";
/// The output is there and replacing it was not asked for.
pub const OUTPUT_EXISTS: &str = "E0710";
/// The output is there, but it is not what the command writes.
pub const NOT_REPLACEABLE: &str = "E0711";
/// The output has no name or no parent folder.
pub const BAD_OUTPUT: &str = "E0712";
/// Another process writes to the same output.
pub const LOCKED: &str = "E0713";
/// The disk has not enough space, or ran full.
pub const NO_SPACE: &str = "E0714";
/// The specification and the checkpoint do not fit each other.
pub const TENSOR_MISMATCH: &str = "E0715";
/// A format needs activation statistics, and there are none.
pub const OUTLIER_STATISTICS: &str = "E0716";
/// A tensor cannot be encoded in its format.
pub const ENCODE: &str = "E0717";
/// The probe of the new plan failed.
pub const PROBE: &str = "E0718";
/// The work was asked to stop; it can be continued.
pub const INTERRUPTED: &str = "E0719";
/// A file of the output could not be read or written.
pub const IO: &str = "E0720";
/// The plan that is to be exported does not open.
pub const UNOPENABLE_PLAN: &str = "E0721";
/// The plan that is to be exported lacks something.
pub const NOT_EXPORTABLE: &str = "E0722";
/// The machine code of the kernels could not be made.
pub const MACHINE_CODE: &str = "E0723";
/// A tensor has transforms that only calibration carries out, and none was.
pub const NOT_ROUNDED: &str = "E0724";
/// A data file cannot be read.
pub const UNREADABLE_DATA: &str = "E0801";
/// A data file is not UTF-8.
pub const NOT_UTF8: &str = "E0802";
/// A line or a row of a data file is not a record.
pub const NOT_A_RECORD: &str = "E0803";
/// A data file has no records.
pub const NO_RECORDS: &str = "E0804";
/// A limit of the plan is 0 or does not fit 32 bits.
pub const LIMIT_OUT_OF_RANGE: &str = "E0901";
/// The weights of the plan exceed the budget.
pub const OVER_BUDGET: &str = "E0902";
/// The KV cache is in fp8 with scale 1, since nothing was calibrated (warning).
pub const UNCALIBRATED_KV: &str = "E0903";
/// The weights fit the budget, but not even one sequence beside them would (warning).
pub const TIGHT_BUDGET: &str = "E0904";
/// Chat records were given for a checkpoint without a chat template.
pub const NO_CHAT_TEMPLATE: &str = "E1001";
/// The chat template refuses the messages of a record, or cannot be used.
pub const CHAT_TEMPLATE: &str = "E1002";
/// There is no tokenizer, or it fails.
pub const TOKENIZER: &str = "E1003";
/// A mix is malformed or names strata that the data does not have.
pub const MIX: &str = "E1004";
/// There are too few records to calibrate on and to hold out.
pub const TOO_FEW_RECORDS: &str = "E1005";
/// A parquet file cannot be read.
pub const PARQUET: &str = "E1006";
/// Records were cut (warning).
pub const CUT_RECORDS: &str = "E1010";
/// Records were passed over (warning).
pub const SKIPPED_RECORDS: &str = "E1011";
/// The mix leaves out strata of the data (warning).
pub const STRATA_LEFT_OUT: &str = "E1012";
/// Strata have fewer tokens than the mix asks for (warning).
pub const SHORT_STRATA: &str = "E1013";
/// Calibration and held-out records overlap (warning).
pub const OVERLAP: &str = "E1014";
/// Strata have few held-out records (warning).
pub const FEW_HELD_OUT: &str = "E1015";
/// A stratum is unlike the traffic (warning).
pub const UNLIKE_TRAFFIC: &str = "E1016";
/// A profile is not what was expected.
pub const PROFILE: &str = "E1101";
/// The limits of loss cannot be kept, as the audit found.
pub const MISSED_LIMITS: &str = "E1102";
/// A stratum of the audit was not calibrated on (warning).
pub const UNSEEN_STRATUM: &str = "E1103";
/// A weight has values that are not finite, so that it cannot be calibrated.
pub const NOT_FINITE: &str = "E1104";
/// A loss limit names a stratum that is not held out.
pub const UNKNOWN_STRATUM: &str = "E1105";
/// A profile was measured on other data, or does not say under which conditions (warning).
pub const OTHER_DATA: &str = "E1106";
