//! Stable codes of what the command refuses or warns of. Each is declared once in the workspace and means one thing.

samp_abi::error_codes! {
    NO_FRONT = "E1201", Input, "The measurements of the certificate give no front",
        "`samp report` solves for the front of loss and bytes from the measurements in the plan's certificate, and \
         with these no plan satisfies the certificate's own constraints.",
        "Compile the plan again with --calib.";
    SIGNED = "E1404", Input, "The plan has a signature already",
        "`samp sign` replaces no signature unless it is told to.",
        "Pass --force to replace it.";
    KEY_EXISTS = "E1405", Input, "There is a key of that name already",
        "Keys are never overwritten: nothing could be signed any more by a key that is gone.",
        "Choose another name.";
    KEY_PASSWORD = "E1408", Input, "The password of a key is wrong, or cannot be asked for",
        "The key is encrypted. Its password is taken from SAMP_KEY_PASSWORD, or asked for on a terminal.",
        "Set SAMP_KEY_PASSWORD, or type the password that the key was made with.";
    CERTIFICATE = "E1202", Input, "The plan has no certificate that this samp reads",
        "A certificate lies in every plan that samp compiles. Here it is missing, malformed, or of another version.",
        "Compile the plan again with this samp.";
    NO_PROMISE = "E1203", Input, "The plan's certificate promises no quality",
        "Only formats that were chosen by measurements are audited; a recipe promises nothing that could be checked.",
        "Leave out --certificate, or compile the plan with --calib.";
    TEXT = "E1210", Input, "The text that a plan serves cannot be turned into tokens",
        "The tokenizer or the chat template in the plan cannot be used, or has tokens beyond the model's vocabulary.",
        "Compile the model again from a checkpoint with a sound tokenizer.";
    GOLDEN_PROBE = "E1211", Input, "The plan computes other logits than its probe says",
        "golden.json holds tokens and the logits that the compiler got for them; running the plan here gives others.",
        "Compile the model again here; if the probe fails again, please report it with the output of `samp doctor`.";
    CERTIFICATE_FORMAT = "E1212", Input, "A tensor has another format than the certificate says",
        "The certificate names the format of each tensor that was audited, and the plan has another.",
        "Compile the model again: the plan and its certificate do not belong together.";
    CERTIFICATE_QUALITY = "E1213", Input, "The plan loses more than its certificate bounds",
        "The divergence that was measured on the given records lies above the certified bound by more than its own \
         uncertainty.",
        "Calibrate and audit on records like these, and compile again.";
    CERTIFICATE_UNCHECKED = "E1215", Input, "The data does not tell whether the certificate is right",
        "The certificate bounds the loss of a stratum, and --data has fewer than two texts of it.",
        "Give records of every stratum that the certificate names.";
    CERTIFICATE_MODEL = "E1216", Input, "The certificate is of another model",
        "The certificate was made against another checkpoint than the one that was given with --against.",
        "Give the checkpoint that the plan was compiled from.";
    FILE_UNNAMED = "E1214", Input, "A file is in the plan's folder that the manifest does not name",
        "Nothing reads such a file and it does no harm; with --strict it is a finding, for those who want nothing else in \
         the folder.",
        "Remove it, or leave out --strict.";
    UNEXPECTED = "E1500", Bug, "An error without a code",
        "samp gives each error a code, and forgot it here.",
        "Please report it with the command line.";
    PANIC = "E1501", Bug, "samp stopped at an assumption that does not hold",
        "samp checks its own assumptions and stops rather than go on with wrong results.",
        "Please report it with the command line and the output of `samp doctor`.";
    USAGE = "E1502", Input, "The command was not given as it is used",
        "An option or a value is missing, unknown, or does not go with another.",
        "`samp COMMAND --help` lists every option.";
    FILE = "E1503", Environment, "A file or folder of the command could not be read or written",
        "The system refused; the error says what, and the reason.",
        "Correct the path, or see to the permissions and to the disk.";
    UNKNOWN_CODE = "E1505", Input, "There is no such error code",
        "`samp explain` was asked for a code that no part of samp gives.",
        "`samp explain` lists all codes.";
    NO_GRAPH = "E1506", Input, "The plan carries no graph",
        "`samp inspect --mlir` shows plan.mlir, which lies in plans that `samp compile` makes.",
        "Compile the model again.";
    TOKEN_IDS = "E1507", Input, "A file of token ids is not what was expected",
        "`samp eval --ids` takes a safetensors file with the i64 tensor `input_ids` of shape [batch, len], its ids \
         below the size of the vocabulary.",
        "Write the file anew, with the ids of the plan's own tokenizer.";
    VOCABULARY = "E1508", Input, "The baseline has another vocabulary than the plan",
        "Divergence compares predictions token by token, so that both need the same tokens.",
        "Give the checkpoint that the plan was compiled from.";
    PROMPT = "E1510", Input, "The prompt cannot be read",
        "The prompt on stdin is not UTF-8 text, or could not be read.",
        "Give UTF-8 text on stdin, or the prompt with -p.";
    SAME_TARGET = "E1511", Input, "A target is named twice",
        "`samp compile --target` makes a plan for each target, in a folder of the target's name.",
        "Name each target once.";
    NO_SERVER = "E1515", Environment, "The server is not installed beside the command",
        "`samp serve` becomes the program `samp-server`, which lies in the folder of `samp`; the system could not start it.",
        "Install both with `make install`, or build it with `cargo build -p samp-server`.";
}
