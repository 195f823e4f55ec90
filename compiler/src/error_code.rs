//! Stable codes of what the compiler refuses or warns of. Each is declared once in the workspace and means one thing.

samp_abi::error_codes! {
    UNREADABLE = "E0301", Input, "A file of the checkpoint cannot be read",
        "A file that the checkpoint needs is not there, is no regular file, or the system refused to read it; the \
         error says which and why.",
        "Give the folder of a Hugging Face checkpoint: config.json and *.safetensors. Where the system refused, \
         see to the file's permissions and its disk.";
    JSON = "E0302", Input, "A file of the checkpoint is not the JSON object that it should be",
        "The file is not JSON, has a key twice, is no object, or is larger than any such file is.",
        "Fetch or save the file again.";
    CONFIG_VALUE = "E0303", Input, "A key of config.json has a wrong value, or contradicts another",
        "The value is of another type or outside of what any model can have, or two keys cannot both be true.",
        "Correct config.json; transformers' save_pretrained writes a sound one.";
    CONFIG_MISSING = "E0304", Input, "A key of config.json is missing",
        "samp assumes no default where a wrong one would change what the model computes.",
        "Add the key, with the value that the model was trained with.";
    CONFIG_KEY = "E0305", Input, "A key of config.json is not known",
        "A key that samp does not know may change the mathematics, so that every key is used, known to be \
         irrelevant, or refused.",
        "If the key changes nothing, remove it from config.json; otherwise this samp cannot compile the model.";
    UNSUPPORTED = "E0306", Input, "config.json asks for something that samp does not compile",
        "The value is right for some model, but its architecture, activation function, scaling or quantization is \
         not among those that samp knows.",
        "Use a checkpoint of the Llama architecture in f32, f16 or bf16.";
    CONTEXT = "E0307", Input, "The context is longer than the model was trained for (warning)",
        "--max-model-len exceeds max_position_embeddings of config.json. The plan is made, and its quality beyond \
         the trained length is unknown.",
        "Lower --max-model-len, unless the model is known to stand it.";
    WRONG_PATH = "E0308", Input, "The path leads to something else than was wanted",
        "What a path leads to is recognised by names and first bytes; the error says what was wanted, what is there, \
         and what to do about it.",
        "Give the path of what is wanted; where another program has to convert it first, the error says how.";
    UNREACHABLE = "E0309", Environment, "The system does not let the path be looked at",
        "A folder on the path, or the file at its end, may not be read by this user, or its disk fails.",
        "See to the permissions of the path and of the folders above it.";
    WEIGHTS = "E0310", Input, "A folder has no weights, or more than one set",
        "A checkpoint has either model.safetensors or model.safetensors.index.json with its shards.",
        "Give the folder of such a checkpoint; where both are there, remove the one that is not meant.";
    SAFETENSORS = "E0311", Input, "A safetensors file contradicts its format",
        "The header is cut off, malformed or too large, or its tensors overlap, leave gaps or end beyond the file. \
         Such a file is often a broken download.",
        "Fetch or save the file again.";
    INDEX = "E0312", Input, "The index of a sharded checkpoint contradicts its format or the shards",
        "model.safetensors.index.json cannot be read, or names tensors and shards that do not agree with what is \
         there.",
        "Fetch the index and all shards again, from one revision.";
    CHANGED = "E0313", Input, "A file of the checkpoint changed after it was opened",
        "A plan is of one state of its checkpoint; while it was compiled, a file of the checkpoint was written to \
         or replaced.",
        "Compile again once nothing writes to the checkpoint.";
    LFS_POINTER = "E0314", Input, "Git LFS left pointers in place of files",
        "The repository was cloned without its large files: where each belongs lies a short text that says which it is.",
        "Run `git lfs install` once, then `git lfs pull` in the checkpoint's folder.";
    MISSING_SHARDS = "E0315", Input, "Files of weights that the index names are not there",
        "model.safetensors.index.json names every file of weights; some were not fetched, or not wholly.",
        "Run the same download again: it takes only what is missing.";
    BINDING = "E0320", Input, "The tensors are not the ones that the architecture has",
        "Each tensor that the config calls for exists exactly once, with its shape and a float type, and nothing \
         else is there. Missing, unexpected and misshapen tensors are named.",
        "Check that config.json belongs to these weights, and that no shard is missing.";
    UNREAD_TENSORS = "E0321", Input, "Tensors are left out because nothing reads them (warning)",
        "Some checkpoints hold tensors that the model does not use, such as stored rotary frequencies or a head \
         that is tied to the embedding.",
        "Nothing has to be done, if leaving them out is right.";
    UNTIED_HEAD = "E0322", Input, "The head is tied by config.json and has values of its own (warning)",
        "tie_word_embeddings says that the head is the embedding, and the checkpoint holds both, with different values. \
         transformers then uses both, and so does the plan.",
        "Set tie_word_embeddings to false in config.json, or remove the tensor that is not meant.";
    ASSUMED = "E0323", Input, "A key of config.json is missing, and transformers' default is taken (warning)",
        "transformers' class of the model has a default for the key; the model may have been trained with another.",
        "Add the key to config.json, with the value that the model was trained with.";
    IGNORED_KEY = "E0324", Input, "A key of config.json says something that the model does not do (warning)",
        "transformers passes the key, or the value, over, and so does samp.",
        "Nothing has to be done, if the model was trained without it; remove the key to be rid of the warning.";
    REMOTE_CODE = "E0325", Input, "The checkpoint names code of its own, which is not run (warning)",
        "auto_map names Python files beside the weights. The model is built as transformers' own class of its model type \
         is, which transformers does, too, unless it is told to trust such code.",
        "Compare a few answers with transformers', if the code may compute something else.";
    CARRIED = "E0330", Input, "A file that text needs is missing or damaged",
        "The tokenizer, its configuration or the chat template is carried into the plan; it is not there (a \
         warning: the plan takes token ids only), or it cannot be used.",
        "Save the tokenizer with transformers' save_pretrained, which writes tokenizer.json and its companions.";
    ADDED_TOKENS = "E0331", Input, "Other files name added tokens that tokenizer.json lacks (warning)",
        "transformers gives the tokenizer what tokenizer_config.json, special_tokens_map.json and added_tokens.json name, and \
         so does samp: the plan's tokenizer.json has these tokens.",
        "Nothing has to be done; saving the tokenizer with transformers' save_pretrained writes them all to tokenizer.json.";
    BEGINNING_IN_VAIN = "E0332", Input, "The settings ask for a token around each text that nothing adds (warning)",
        "add_bos_token or add_eos_token is true in tokenizer_config.json, and tokenizer.json, which transformers 5 follows \
         alone, has no template that adds it. Versions before 5 added it.",
        "If the model was trained with it, give tokenizer.json a post_processor of the type TemplateProcessing.";
    TOKENS_BEYOND = "E0333", Input, "The tokenizer has ids that the embedding has no row for (warning)",
        "Tokens were added and the embedding was not resized, or tokenizer and weights belong to different models. A text \
         that comes to such a token is refused when it is read.",
        "Resize the embedding with transformers' resize_token_embeddings, or take the model's own tokenizer.";
    GENERATION_SETTINGS = "E0335", Input, "Settings of generation_config.json are not followed (warning)",
        "A value makes no sense, such as a temperature below 0, or a key asks for a way of choosing tokens that samp \
         does not have, such as beams. Running the plan passes them over, and says so again.",
        "Correct the file, or give `samp run` other settings.";
    QUANTIZED_TENSORS = "E0340", Input, "Tensors of a quantized checkpoint are not as its method stores them",
        "The configuration names the method that the weights were quantized by; codes, zero points, scales and groups \
         have the sizes, types and values that it gives them, or the checkpoint is refused.",
        "Fetch the checkpoint again, or compile the one that it was quantized from.";
    GGUF = "E0342", Input, "A GGUF file contradicts its format",
        "The header is cut off or malformed, a length leads out of the file, tensors overlap, or the metadata lacks what a \
         model needs. Such a file is often a broken download.",
        "Fetch the file again.";
    KEPT_OR_REQUANTIZED = "E0341", Input, "The checkpoint is quantized, and what to do with that was not said",
        "Its weights hold what another tool rounded. Where samp has no format that holds the same values, or where \
         measurements are to choose formats, they have to be dequantized and rounded again.",
        "Pass --requantize, or compile the checkpoint that this one was quantized from, which loses less.";
    MALFORMED_RECIPE = "E0403", Input, "The text cannot be read as a recipe",
        "The file cannot be read, is not TOML, or has keys or values that recipes do not have; line and column are \
         given.",
        "Write it as docs/recipes.md and docs/recipe.schema.json say.";
    UNKNOWN_RECIPE = "E0404", Input, "There is no recipe of this name",
        "A recipe is `samp`, `uniform:FORMAT`, or the path of a TOML file; where measurements decide the formats, \
         only a file.",
        "Correct the name or the path.";
    QUALITY = "E0414", Input, "A list of quality passes cannot run",
        "--quality, or `quality` in a recipe, names exactly one way of rounding (nearest, refine or gptq), and \
         rotate only together with fold.",
        "Correct the list as the error says.";
    MISPLACED_RECIPE = "E0412", Input, "The recipe says what it does not decide here",
        "With --calib measurements decide the formats, so that a recipe has no rules then; without it no quality \
         passes run, so that it has no `quality` then.",
        "Remove the part that the error names, or add or leave out --calib.";
    LOWERING_BUG = "E0701", Bug, "The planned graph lacks what the pipeline should have put there",
        "samp's own passes left a graph that cannot become a program.",
        "Please report it with the model's config.json and the command line.";
    TRANSFORMS = "E0702", Input, "The transforms of a weight do not go with its sources, or are not known",
        "The graph says to change a weight's values in a way that this samp does not know or that does not fit the \
         tensors it is made of.",
        "Correct the transforms in the graph's text; in a compile this is a bug in samp.";
    OUTPUT_EXISTS = "E0710", Input, "The output is there and replacing it was not asked for",
        "samp replaces no output unless it is told to.",
        "Choose another output, or pass --force.";
    NOT_REPLACEABLE = "E0711", Input, "The output is there, but it is not what the command writes",
        "--force replaces a plan by a plan and an export by an export, and nothing else. A single file is replaced by its like: a \
         page of samp report by a page, a profile by a profile, logits by logits.",
        "Remove it yourself, or choose another output.";
    BAD_OUTPUT = "E0712", Input, "The output has no name or no parent folder",
        "An output is a new folder in a folder that exists, since it is written beside its place and moved there.",
        "Make the parent folder, or choose another output.";
    LOCKED = "E0713", Environment, "Another process writes to the same output",
        "A compile locks its output while it writes, so that two never mix their files.",
        "Wait for the other, or choose another output.";
    NO_SPACE = "E0714", Environment, "The disk has not enough space, or ran full",
        "The size of the output is known before it is written and compared with what is free; other writers may \
         fill the disk meanwhile. Finished tensors are kept.",
        "Make room and run the same command: it continues. Or choose an output on another disk.";
    TENSOR_MISMATCH = "E0715", Bug, "The specification and the checkpoint do not fit each other",
        "A tensor that the plan asks for is not in the checkpoint in the shape that import found.",
        "Please report it with the model's config.json and the command line.";
    OUTLIER_STATISTICS = "E0716", Input, "A format needs activation statistics, and there are none",
        "int8_outliers keeps the columns of channels with outliers in f16, and only calibration finds these.",
        "Calibrate with --calib and int8_outliers in --formats, or use int8.";
    ENCODE = "E0717", Input, "A tensor cannot be encoded in its format",
        "The tensor has values that the format cannot hold, such as infinities or NaNs, or values beyond its range.",
        "Choose another format for it. If the values are not finite, the checkpoint is damaged: fetch or save it \
         again.";
    PROBE = "E0718", Bug, "The probe of the new plan failed",
        "Each plan is opened and run once before it is published, and this one failed. Its packed weights are \
         kept, so that a mended samp does not begin anew.",
        "Please report it with the model's config.json and the command line.";
    INTERRUPTED = "E0719", Environment, "The work was asked to stop; it can be continued",
        "The command was interrupted, by Ctrl-C (SIGINT; exit code 130) or by SIGTERM (exit code 143). Finished tensors and \
         measurements are kept, and plans that were done stay.",
        "Run the same command: it continues.";
    IO = "E0720", Environment, "A file of the output could not be read or written",
        "The system refused an operation on a file; the error says which, and the reason.",
        "See to the permissions of the folder, to its disk and to the limit on the size of files (ulimit -f), or choose another \
         output; then run the same command.";
    NOT_EXPORTABLE = "E0722", Input, "The plan that is to be exported lacks something",
        "An export needs the model's config and names of tensors in the plan, which plans of older versions lack.",
        "Compile the model again.";
    MACHINE_CODE = "E0723", Bug, "The machine code of a kernel is not as it was written to be",
        "The compiler made code that spills registers or lacks the instructions that the kernel was written for, \
         so that it would run slower than predicted.",
        "Please report it with the command line.";
    NOT_ROUNDED = "E0724", Bug, "A tensor has transforms that only calibration carries out, and none was",
        "samp decided on a change of a weight's values and did not carry it out.",
        "Please report it with the model's config.json and the command line.";
    ACTIVATIONS_OVERFLOW = "E0726", Refusal, "The model's activations are larger than the type that the target keeps them in",
        "Plans for GPUs keep most activations in f16, up to 65504, unless their plain weights are in bf16. The probe of \
         the new plan, a few tokens, already went beyond.",
        "Keep in bf16 what the recipe keeps in f16: activations are then kept in bf16 too, which reaches as far as f32.";
    FOREIGN_FILES = "E0725", Input, "The output is what the command writes, and holds files that it did not write",
        "--force would delete them with the old output. Files that file managers make anew, and the signature of an \
         old plan, do not count.",
        "Move them away, or choose another output.";
    INEXACT_EXPORT = "E0727", Refusal, "The stack that a plan is exported to cannot hold its weights as they are",
        "Every weight is written in the codes and scales that the plan has, where the other stack has a format for them; the \
         notes say which weights it has none for, and why.",
        "Compile in formats that the stack holds (docs/export.md lists them), or round with --allow-rounding.";
    UNTOLD_EXPORT = "E0728", Refusal, "The stack that a plan is exported to cannot be told a part of the model",
        "A GGUF file says what the model is in llama.cpp's own keys, and for some windows, rotary scalings, biases and tokenizers \
         there is none. Another model would be computed.",
        "Export it with --format hf, or with --format compressed-tensors.";
    UNREADABLE_DATA = "E0801", Input, "A data file cannot be read",
        "The file is not there or the system refused to read it; the error says which.",
        "Correct the path, or see to the file's permissions.";
    NOT_UTF8 = "E0802", Input, "A data file is not UTF-8",
        "Records are text in UTF-8; the error gives the offset of the first byte that is not.",
        "Convert the file to UTF-8.";
    NOT_A_RECORD = "E0803", Input, "A line or a row of a data file is not a record",
        "A record has `text` or `messages`, and may have `stratum` and `weight`; the error says what this line has.",
        "Mend the line that the error names.";
    NO_RECORDS = "E0804", Input, "A data file has no records",
        "The file is empty, or has blank lines only.",
        "Give a file with records.";
    NOT_RECORDS = "E0805", Input, "A data file is in a form that is not read",
        "The first bytes are those of another kind of file, such as a compressed one or a table.",
        "Make JSON lines of it, as the error says.";
    NOT_FINITE_LOGITS = "E0806", Input, "The logits of a record are not finite",
        "The model overflows on this text: in the checkpoint itself, or in the formats of the plan.",
        "Choose formats with more range; if the checkpoint itself overflows, leave the record out.";
    LIMIT_OUT_OF_RANGE = "E0901", Input, "A limit of the plan is 0 or larger than any plan's",
        "The context is 1 to 2^31 positions, sequences and the tokens of a step are 1 to 2^24 each. Opening a plan checks the \
         same.",
        "Give a number between these.";
    OVER_BUDGET = "E0902", Refusal, "The weights of the plan exceed the budget",
        "--budget says how many bytes the weights may take, and in these formats they take more. The table under \
         the error shows where the bytes are.",
        "Choose smaller formats with --recipe, or raise --budget.";
    UNCALIBRATED_KV = "E0903", Input, "The KV cache is in fp8 with scale 1, since nothing was calibrated (warning)",
        "Scales of an fp8 cache are measured on calibration data. Without it they are 1, and keys or values beyond \
         448 saturate.",
        "Measure the plan with `samp eval` before relying on it, calibrate with --calib, or keep f16 with \
         --kv-cache-dtype f16.";
    TIGHT_BUDGET = "E0904", Input, "The weights fit the budget, but not even one sequence beside them would (warning)",
        "--budget is one of weights. If it is all the memory there is, the arena and the KV cache of one sequence \
         at its longest do not fit beside them.",
        "Lower --max-model-len or --max-num-batched-tokens, or choose a smaller --kv-cache-dtype.";
    STRICT = "E0905", Refusal, "There are warnings, and --strict makes them errors",
        "The error lists the warnings. Nothing was written; what was measured is kept for the same compile without \
         --strict.",
        "Do what each warning asks for, or leave out --strict.";
    NO_SUCH_LAYER = "E0906", Input, "The model has no such layers",
        "`samp measure --layers FROM..TO` measures a part of the model's layers, which count from 0; TO is not \
         included.",
        "Give a range within the model's layers; `samp inspect` and the checkpoint's config.json say how many there are.";
    UNDECIDED = "E0907", Input, "The graph of a calibrated compile is not known before measuring",
        "With --calib measurements decide the formats, so that --stop-after shows the phases before formats alone: model \
         and fused.",
        "Leave --calib out to see a recipe's graph, or compile and read plan.mlir in the plan.";
    NO_WEIGHTS = "E0910", Input, "The model has no weights",
        "A config.json alone serves --dry-run, --kernels, --stop-after and --print-after; what was asked for reads \
         weights.",
        "Give the folder of the checkpoint, or --dry-run.";
    NO_OUTPUT = "E0911", Input, "It was not said where the plan goes",
        "A compile that writes needs a folder to make.",
        "Give -o PLAN.";
    NO_CALIBRATION_DATA = "E0913", Input, "Measuring needs calibration data",
        "What formats cost is measured on records like those that are served.",
        "Give --calib FILE.";
    NO_KERNELS = "E0914", Input, "The target runs no kernels that are compiled for it",
        "--kernels writes machine code of GPUs; plans for CPUs run the code of samp itself.",
        "Choose a GPU with --target.";
    NO_CHAT_TEMPLATE = "E1001", Input, "Chat records were given for a checkpoint without a chat template",
        "Records with `messages` become text by the checkpoint's chat template, and it has none.",
        "Give the conversations as `text`, or add chat_template.jinja to the checkpoint.";
    CHAT_TEMPLATE = "E1002", Input, "The chat template refuses the messages of a record, or cannot be used",
        "The template raised an error (many refuse a system message, or roles that do not alternate), or is itself \
         malformed.",
        "Mend the record, or the checkpoint's template.";
    TOKENIZER = "E1003", Input, "There is no tokenizer, or it fails",
        "Calibration turns texts into tokens by the checkpoint's tokenizer.json, which is missing, damaged, or \
         refused a text.",
        "Save the tokenizer with the checkpoint, or mend the record that the error names.";
    MIX = "E1004", Input, "A mix is malformed, or names strata that the data does not have",
        "--mix gives strata and their parts of the tokens, such as code=0.7,prose=0.3.",
        "Name strata of the data, each once, with positive parts.";
    TOO_FEW_RECORDS = "E1005", Input, "There are too few records to calibrate on and to hold out",
        "A calibration needs records to measure on and others to judge the result by.",
        "Give more records, more --calib-tokens, or records to judge on with --audit.";
    PARQUET = "E1006", Input, "A parquet file cannot be read",
        "The file is damaged, is compressed in a way that is not supported, or this samp was built without parquet.",
        "Write the file again with snappy, zstd or no compression, or write the records as JSON lines.";
    CUT_RECORDS = "E1010", Input, "Records were cut (warning)",
        "Records longer than --record-tokens or the context are used up to that length only.",
        "Raise --record-tokens and --max-model-len, or split the records.";
    SKIPPED_RECORDS = "E1011", Input, "Records were passed over (warning)",
        "A record of fewer than two tokens predicts nothing and is left out.",
        "Give longer records.";
    STRATA_LEFT_OUT = "E1012", Input, "The mix leaves out strata of the data (warning)",
        "Strata that --mix does not name are not calibrated on; the plan is judged on them all the same.",
        "Name them in --mix if they are served.";
    SHORT_STRATA = "E1013", Input, "Strata have fewer tokens than the mix asks for (warning)",
        "All their records were taken, and their share of the calibration is smaller than declared.",
        "Give more records of them, or lower --calib-tokens.";
    OVERLAP = "E1014", Input, "Calibration and held-out records overlap (warning, an error with --max-loss)",
        "Records of the audit equal records of the calibration or share much of their text, so that the audited \
         loss is too low. With --max-loss this is an error: it would promise what was not shown.",
        "Judge on records that are apart from the calibration's.";
    FEW_HELD_OUT = "E1015", Input, "Strata have few held-out records (warning)",
        "Bounds come of the spread over records, and of few records the spread is badly known, so that they are wide.",
        "Give more records, or more to judge on with --audit.";
    UNLIKE_TRAFFIC = "E1016", Input, "A stratum is unlike the traffic (warning)",
        "The tokens of a stratum of the calibration are distributed otherwise than those of --traffic; the error \
         shows the tokens that differ most.",
        "Calibrate on records drawn from the traffic.";
    UNKNOWN_KEYS = "E1017", Input, "Records have keys that nothing reads (warning)",
        "A record is `text`, or `messages` with `tools`, `documents` and `chat_template_kwargs`; `stratum`, `weight` and \
         notes such as `source` may stand beside them. Whatever else there is says nothing to the model.",
        "Rename the key if it was meant for one of these, or leave it out.";
    PROFILE = "E1101", Input, "A profile is not what was expected",
        "The file cannot be read as a profile, is of another version, or was measured on another checkpoint, with \
         other passes or in parts that do not belong together.",
        "Measure this checkpoint again, with this samp and the options of the compile.";
    MISSED_LIMITS = "E1102", Refusal, "The limits of loss cannot be kept, as the audit found",
        "The plan was rounded and judged on held-out records, and its loss exceeds --max-loss, also after lowering \
         the loss that was planned with.",
        "Allow a larger --max-loss, more bytes, or give more held-out records (their number sets the bound).";
    UNSEEN_STRATUM = "E1103", Input, "A stratum of the audit was not calibrated on (warning)",
        "The audit has strata that the calibration does not have: how they fare was judged, but not minded.",
        "Add records of these strata to the calibration data.";
    NOT_FINITE = "E1104", Input, "A weight has values that are not finite, so that it cannot be calibrated",
        "The tensor holds infinities or NaNs.",
        "The checkpoint is damaged or its training diverged: fetch or save it again.";
    UNKNOWN_STRATUM = "E1105", Input, "A loss limit names a stratum that is not held out",
        "--max-loss STRATUM=X limits the loss of a stratum of the held-out records; the error lists those.",
        "Name one of these strata.";
    OTHER_DATA = "E1106", Input, "A profile was measured on other data, or does not say under which conditions (warning)",
        "The profile is used as it is, although its calibration data differs from the compile's, or it is too old \
         to say.",
        "Measure again, unless the difference is meant.";
    TOO_FEW_TO_PROMISE = "E1107", Refusal, "Too few records are held out for a loss limit to be shown to hold",
        "Not the loss that is found on held-out records counts, but what it lies below with 95 % confidence. Few records \
         bound it from afar, and one does not bound it at all. docs/recipes.md says how far.",
        "Give more records to --calib, an eighth of which is held out, or more to judge on with --audit.";
    NAME = "E1401", Input, "The name that was given for a checkpoint cannot be shown",
        "A plan's name for its checkpoint is shown on terminals and pages as it is, so that it is short and has no \
         characters that control them.",
        "Give another --name, or leave it out to have the folder's name.";
    PROFILE_NOT_WRITTEN = "E1113", Environment, "A profile was not written",
        "The system refused to make, write or replace the file; the error says which, and the reason.",
        "See to the permissions of the folder and to its disk, or choose another output; then run the same command.";
    UNUSABLE_INPUTS = "E1110", Input, "The inputs of a linear cannot be used",
        "Rounding needs the statistics of a linear's inputs on the calibration data, and these are not finite.",
        "Check the checkpoint for NaN or overflowing weights.";
    WORK_FILES = "E1112", Environment, "Files that a calibration keeps while it works could not be written",
        "Measurements, rounded weights and intermediate values are kept on disk, so that an interrupted compile \
         goes on from them; the system refused.",
        "Make room on the disk, or see to its permissions; then run the same command: it continues.";
}
