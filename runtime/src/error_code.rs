//! Stable codes of what the runtime refuses: E13 what can be wrong with a plan, E14 what keeps a sound plan from
//! running. Each is declared once in the workspace and means one thing.

const COPY_AGAIN: &str = "The plan was changed or damaged: copy it again, or compile the model again.";
const COMPILE_AGAIN: &str =
    "The plan was not made by this samp or was tampered with: compile the model again.";

/// Why an error of this code comes about; `None` of one that the runtime does not give.
pub fn cause(code: &str) -> Option<samp_abi::Cause> {
    TABLE.iter().find(|entry| entry.code == code).map(|entry| entry.cause)
}

samp_abi::error_codes! {
    PLAN_IO = "E1301", Environment, "A file of the plan cannot be read",
        "The system refused to list a folder of the plan, or to open, read or map a file of it; the error says \
         which, and the reason.",
        "See to the permissions of the plan's files, and to the disk that they lie on.";
    PLAN_FILE_MISSING = "E1302", Input, "A file of the plan is missing",
        "The folder is no plan, or it lacks a file that the manifest names, as after a copy that was broken off.",
        COPY_AGAIN;
    PLAN_FILE_KIND = "E1303", Input, "A file of the plan is not a regular file",
        "Links and special files are refused, so that a plan is what lies in its own folder and nothing else.",
        "Replace links by the files themselves.";
    PLAN_FILE_PATH = "E1304", Input, "A path in the manifest is not a plain one inside the plan",
        "Paths consist of names joined by `/`, each path once, and weights files have the names that follow from \
         their number.",
        COMPILE_AGAIN;
    PLAN_FILE_SIZE = "E1306", Input, "A file of the plan has the wrong size",
        "The manifest says how many bytes each file has, and this one has more or fewer.",
        COPY_AGAIN;
    PLAN_FILE_HASH = "E1307", Input, "The bytes of a file do not match their hash",
        "The manifest has the BLAKE3 hash of each file, and this file's bytes give another.",
        COPY_AGAIN;
    PLAN_MANIFEST_MALFORMED = "E1308", Input, "plan.json is not a plan manifest",
        "The file is not JSON, or lacks what every manifest has.",
        COPY_AGAIN;
    PLAN_MANIFEST_DIGEST = "E1309", Input, "The manifest does not match its own digest",
        "The manifest carries the hash of its own text, and the text was changed afterwards.",
        COPY_AGAIN;
    PLAN_SCHEMA_VERSION = "E1310", Input, "This samp does not read this version of the plan's schema",
        "The plan was made by a samp whose plans have another major version, or a later minor one.",
        "Compile the model again with this samp, or use the samp that made the plan.";
    PLAN_TOO_LARGE = "E1311", Input, "A number in the plan is out of its range",
        "Sizes and counts have bounds that no sound plan exceeds.",
        COMPILE_AGAIN;
    PLAN_MODEL = "E1312", Input, "The model's description in the plan is inconsistent",
        "Layers, heads and widths contradict each other.",
        COMPILE_AGAIN;
    PLAN_KV_CACHE = "E1313", Input, "The KV cache's description is inconsistent",
        "Its format, page size or scales contradict the model or each other.",
        COMPILE_AGAIN;
    PLAN_BUCKETS = "E1314", Input, "The token buckets are inconsistent",
        "Buckets ascend to the most tokens of a step, and each step has a kernel for each.",
        COMPILE_AGAIN;
    PLAN_TENSOR_NAME = "E1315", Input, "The name of a tensor is empty or taken",
        "Each tensor of a plan has a name of its own.",
        COMPILE_AGAIN;
    PLAN_TENSOR_SHAPE = "E1316", Input, "The shape of a tensor does not fit",
        "The shape does not suit the tensor's format, its layout or its role in the model.",
        COMPILE_AGAIN;
    PLAN_TENSOR_SOURCES = "E1317", Input, "The sources of a tensor do not add up to it",
        "A tensor is made of rows of tensors of the checkpoint, which together are the whole of it.",
        COMPILE_AGAIN;
    PLAN_TENSOR_PARTS = "E1318", Input, "The stored arrays of a tensor are not those of its format and layout",
        "A format stores certain arrays, such as codes and scales, each of a size that follows from the shape.",
        COMPILE_AGAIN;
    PLAN_PART_PLACE = "E1319", Input, "An array lies in the wrong place",
        "Arrays lie aligned, in order and without overlap in the weights files.",
        COMPILE_AGAIN;
    PLAN_PART_HASH = "E1320", Input, "The bytes of an array do not match their hash",
        "The manifest has the hash of each stored array, so that damage is named by tensor.",
        COPY_AGAIN;
    PLAN_PART_VALUES = "E1321", Input, "A stored value is not allowed",
        "An array holds a value that its format rules out, such as a scale that is not finite.",
        COMPILE_AGAIN;
    PLAN_WEIGHTS_HEADER = "E1322", Input, "The header of a weights file is not the one that the manifest implies",
        "Weights files are safetensors files whose headers follow from the manifest byte by byte.",
        COPY_AGAIN;
    PLAN_PADDING = "E1323", Input, "The bytes between arrays are not zero",
        "What lies between stored arrays is zero, so that every byte of a plan is checked.",
        COPY_AGAIN;
    PLAN_UNKNOWN_TENSOR = "E1324", Input, "A step refers to a tensor that is not there",
        "The program names a tensor beyond those that the plan has.",
        COMPILE_AGAIN;
    PLAN_UNKNOWN_BUFFER = "E1325", Input, "A step refers to a buffer that is not there",
        "The program names a buffer beyond those that the plan has.",
        COMPILE_AGAIN;
    PLAN_BUFFER = "E1326", Input, "The type, size or place of a buffer is wrong",
        "A buffer does not suit the steps that use it, or lies outside of the arena.",
        COMPILE_AGAIN;
    PLAN_DATAFLOW = "E1327", Input, "Buffers are not written once and then read",
        "Each buffer is written by one step and read by later ones.",
        COMPILE_AGAIN;
    PLAN_OVERLAP = "E1328", Input, "Two buffers in use at once share bytes",
        "Buffers may share bytes of the arena only while one of them is not in use.",
        COMPILE_AGAIN;
    PLAN_CACHE_ORDER = "E1329", Input, "A layer's cache is not appended to once and then read once",
        "In a step each layer's KV cache is appended to once, before attention reads it once.",
        COMPILE_AGAIN;
    PLAN_OP_SHAPE = "E1330", Input, "The shapes of a step's operands do not fit together",
        "The operands of an operation have shapes that it cannot combine.",
        COMPILE_AGAIN;
    PLAN_OP_CONSTANT = "E1331", Input, "A constant of a step is not allowed",
        "A constant, such as an epsilon, is outside of what the operation takes.",
        COMPILE_AGAIN;
    PLAN_BINDING = "E1332", Input, "Tensors are not bound exactly as their roles require",
        "Each tensor of the plan is read in the role that the model has for it, and in no other.",
        COMPILE_AGAIN;
    PLAN_KERNEL = "E1333", Input, "A kernel does not fit its step",
        "The plan names a kernel that this build does not have, or that does not take the step's shapes.",
        COMPILE_AGAIN;
    PLAN_MEMORY = "E1334", Input, "The memory totals of the plan do not add up",
        "Totals of weights, arena and cache follow from the plan's contents and are checked against them.",
        COMPILE_AGAIN;
    PLAN_GOLDEN = "E1335", Input, "The golden probe is missing or inconsistent",
        "golden.json holds tokens and the logits that the compiler got for them; it is missing or does not fit the \
         model.",
        COMPILE_AGAIN;
    PLAN_OTHER_BUILD = "E1336", Input, "The plan was compiled by another build",
        "A plan for a GPU holds machine code of kernels of the build that compiled it. The kernels of this samp \
         differ, so that the code it needs is not in the plan; nothing is damaged.",
        "Compile the model again with this samp, or use the samp that made the plan.";
    PLAN_LFS_POINTER = "E1337", Input, "Git LFS left a pointer in place of a file of the plan",
        "The plan was cloned without Git LFS, so that small text files stand where its weights should.",
        "Run `git lfs pull` in the plan's folder.";
    NOT_A_PLAN = "E1338", Input, "The path leads to no plan",
        "A plan is a folder with plan.json, which `samp compile` makes; the error says what is there instead.",
        "Give the folder of a plan.";
    TOO_MANY_TOKENS = "E1451", Input, "A step has more tokens than the plan takes",
        "The most tokens of a step are fixed when a plan is compiled (--max-num-batched-tokens).",
        "Split the batch, or compile with a larger limit.";
    TOO_MANY_SEQUENCES = "E1452", Input, "More sequences are alive than the plan takes",
        "The most concurrent sequences are fixed when a plan is compiled (--max-num-seqs).",
        "Release a sequence first, or compile with a larger limit.";
    CONTEXT_EXCEEDED = "E1453", Input, "A sequence would have more positions than the plan takes",
        "The most positions of a sequence are fixed when a plan is compiled (--max-model-len).",
        "Shorten the text, or compile with a larger limit.";
    UNKNOWN_SEQUENCE = "E1454", Input, "A sequence does not exist",
        "It was released, or belongs to another engine.",
        "Create the sequence with this engine and use it until it is released.";
    BAD_BATCH = "E1455", Input, "The chunks of a step are malformed",
        "A sequence stands twice in one step, a chunk has no tokens, or output rows or sample requests do not fit \
         the chunks.",
        "Give each sequence one chunk with at least one token, and ascending output rows within it.";
    UNKNOWN_TOKEN = "E1456", Input, "A token id is not below the vocabulary size",
        "The tokens come from another tokenizer than the plan's.",
        "Use the plan's own tokenizer.";
    BAD_TRUNCATION = "E1457", Input, "A sequence cannot be cut as asked",
        "Cutting keeps the first positions of a sequence, at most all of them, and no part of a page that others hold.",
        "Ask for at most as many positions as the sequence has, or for whole pages.";
    OUT_OF_PAGES = "E1458", Input, "The KV cache is full",
        "The pages of the cache are shared by all sequences, and fewer are free than the step needs.",
        "Release sequences, or give the engine more `kv_tokens`.";
    OTHER_TARGET = "E1410", Input, "The plan is for another machine",
        "A plan is compiled for one target, and the device that was asked for is another, or a GPU of another \
         architecture.",
        "Compile the model for this device, or choose another --device; `reference` runs every plan, slowly.";
    NO_SUCH_KERNEL = "E1411", Input, "This build does not have a kernel that the plan asks for",
        "The plan was compiled by another build, whose kernels have other names or take other shapes.",
        "Compile the model again with this samp.";
    HOST_MEMORY = "E1412", Environment, "This machine refuses memory",
        "The system did not give the memory that the cache, the arena or the weights take.",
        "Free memory, or ask for a smaller cache; compile with smaller formats or limits.";
    NO_GPU = "E1413", Environment, "There is no GPU to run on",
        "No driver is installed, or it finds no GPU.",
        "Run on a machine with the GPU, or with --device emulate. `samp doctor` says what is found.";
    GPU_MEMORY = "E1414", Environment, "The GPU has not enough memory",
        "Weights, arena and cache take more than is free on the GPU, or more than may be used of it.",
        "Free the GPU of other work, raise --gpu-memory-utilization, or compile with smaller formats or limits.";
    GPU_KERNEL = "E1415", Bug, "The GPU refuses the code of a kernel",
        "The driver does not load or launch machine code that samp made.",
        "Please report it with the versions of samp and of the driver.";
    GPU_FAILED = "E1416", Environment, "The GPU failed",
        "The driver reported a failure, after which nothing more can be done on the GPU in this process.",
        "Start again; see the system's log if it stays so.";
    THREADS = "E1417", Environment, "Threads cannot be started",
        "The system refused to start the threads that work is shared among, or to bind them to CPUs, or they were started before \
         with another number: a process does so once.",
        "Allow more processes and memory (ulimit -u, ulimit -v), or give fewer threads; set their number before the first plan \
         is opened.";
    THREAD_COUNT = "E1418", Input, "The number of threads is 0 or too large",
        "Work is shared among 1 to 1024 threads.",
        "Give such a number, or leave it out to have one thread for each core.";
    CPU_AFFINITY = "E1419", Input, "The CPUs to compute on cannot be used",
        "The list names no CPUs, or one that the process may not use.",
        "Give numbers and ranges such as 0-3,8 of CPUs that `taskset -cp $$` shows, or leave it out.";
    PROBE_FAILED = "E1420", Bug, "The golden probe failed",
        "The plan carries tokens and the logits that its compiler got for them, and this machine computes others.",
        "Compile the model again here. If the probe fails again, please report it with the output of `samp doctor`.";
    NO_TOKENIZER = "E1430", Input, "The plan has no tokenizer",
        "The checkpoint had no tokenizer.json when the plan was compiled, so that the plan takes token ids only.",
        "Compile a checkpoint that has one, or give token ids.";
    BAD_TOKENIZER = "E1431", Input, "The plan's tokenizer cannot be used",
        "tokenizer.json or its configuration is damaged, or is of a kind that is not known.",
        "Compile the checkpoint again with a sound one; transformers' save_pretrained writes it.";
    TOKENIZER_FAILED = "E1432", Input, "The tokenizer refused a text or tokens",
        "The library that reads tokenizers reported a failure.",
        "Change the text; if it is an ordinary one, please report it.";
    BAD_TEMPLATE = "E1433", Input, "The plan's chat template cannot be used",
        "The template is malformed or uses what is not supported.",
        "Compile a checkpoint with a sound chat_template.jinja, or give the prompt as text.";
    MESSAGES_REFUSED = "E1434", Input, "The chat template refused the messages",
        "The template raised an error, as many do for a system message or for roles that do not alternate, or went \
         on for too long.",
        "Change the messages as the template's reason says.";
    EMPTY_PROMPT = "E1440", Input, "There is nothing to continue",
        "The prompt has no tokens.",
        "Give some text.";
    EMPTY_STOP = "E1441", Input, "A stop text is empty",
        "Every text contains the empty one, so that nothing would be generated.",
        "Leave it out.";
    NO_ROOM = "E1442", Input, "The prompt leaves no room for an answer",
        "The prompt fills the plan's context (--max-model-len).",
        "Shorten the prompt, or compile with a larger limit.";
    SAMPLING_PARAMETER = "E1443", Input, "A sampling parameter is out of its range",
        "Temperature, top-k, top-p, min-p and the penalty have ranges; the error says which.",
        "Give a value in this range.";
    NOT_FINITE_LOGITS = "E1444", Input, "The model gives logits that no token can be chosen by",
        "A logit is NaN or infinite, or there are none. The model overflows on this text in these formats, or the \
         device computes wrongly.",
        "Check the plan with `samp validate`; compile with formats of more range.";
    NOT_SIGNED = "E1403", Refusal, "The plan is not signed by the expected key",
        "There is no signature beside the plan, it was made by another key than that of --key, or it is of another \
         plan.",
        "Ask whoever made the plan for its signature or for their public key; do not use the plan if neither fits.";
    KEY_FILE = "E1406", Input, "A key's file cannot be read or written",
        "The file is not there, its folder is not, or the system refused to read or write it; the error says why.",
        "Correct the path, or the file's permissions.";
    NO_KEY = "E1407", Input, "A file is no key",
        "A secret key (.key, for `samp sign`) or a public key (.pub, for --key of other commands) in minisign's format \
         was expected.",
        "Give the other half of the pair, or make a key with `samp sign --generate-key`.";
    OTHER_PLAN = "E1402", Refusal, "The plan is another one than was expected",
        "The digest that was given with --digest is not the plan's: it was compiled from something else, by other \
         options, or by another version of samp.",
        "Fetch the plan that is meant, or give the digest that `samp inspect` prints of this one.";
    NO_TEMPLATE = "E1435", Input, "The model has no chat template",
        "Messages become text by the template that the checkpoint brought into the plan, and it brought none.",
        "Give the prompt as text.";
    SESSION_ENDED = "E1470", Input, "The session cannot be used any more",
        "The process was forked after the session was opened, or an earlier call on the session failed with a defect of \
         samp.",
        "Open the plan again; if a call failed with a defect, please report it.";
}
