//! Stable codes of what the command refuses or warns of. Each is declared once in the workspace and means one thing.

samp_abi::error_codes! {
    NO_FRONT = "E1201", Input, "The measurements of the certificate give no front",
        "`samp report` solves for the front of loss and bytes from the measurements in the plan's certificate, and \
         with these no plan satisfies the certificate's own constraints.",
        "Compile the plan again with --calib.";
    OTHER_PLAN = "E1402", Refusal, "The plan is another one than was expected",
        "The digest that was given with --digest is not the plan's: it was compiled from something else, by other \
         options, or by another version of samp.",
        "Fetch the plan that is meant, or give the digest that `samp inspect` prints of this one.";
    NOT_SIGNED = "E1403", Refusal, "The plan is not signed by the expected key",
        "There is no signature beside the plan, it was made by another key than that of --key, or it is of another \
         plan.",
        "Ask whoever made the plan for its signature or for their public key; do not use the plan if neither fits.";
    SIGNED = "E1404", Input, "The plan has a signature already",
        "`samp sign` replaces no signature unless it is told to.",
        "Pass --force to replace it.";
    KEY_EXISTS = "E1405", Input, "There is a key of that name already",
        "Keys are never overwritten: nothing could be signed any more by a key that is gone.",
        "Choose another name.";
    KEY_FILE = "E1406", Input, "A key's file cannot be read or written",
        "The file is not there, its folder is not, or the system refused to read or write it; the error says why.",
        "Correct the path, or the file's permissions.";
    NO_KEY = "E1407", Input, "A file is no key",
        "A secret key (.key, for `samp sign`) or a public key (.pub, for --key of other commands) in minisign's format \
         was expected.",
        "Give the other half of the pair, or make a key with `samp sign --generate-key`.";
    KEY_PASSWORD = "E1408", Input, "The password of a key is wrong, or cannot be asked for",
        "The key is encrypted. Its password is taken from SAMP_KEY_PASSWORD, or asked for on a terminal.",
        "Set SAMP_KEY_PASSWORD, or type the password that the key was made with.";
}
