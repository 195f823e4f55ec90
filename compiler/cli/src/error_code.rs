//! Stable codes of what the command refuses or warns of. Each is declared once in the workspace and means one thing.

samp_abi::error_codes! {
    NO_FRONT = "E1201", Input, "The measurements of the certificate give no front",
        "`samp report` solves for the front of loss and bytes from the measurements in the plan's certificate, and \
         with these no plan satisfies the certificate's own constraints.",
        "Compile the plan again with --calib.";
}
