//! Stable codes of what keeps the server from starting or going on. Each is declared once in the workspace and means one
//! thing.

samp_abi::error_codes! {
    LISTEN = "E1601", Environment, "The server cannot listen at the address",
        "The system refused the address or the port: another program listens there, the port needs rights, or the address is \
         not this machine's.",
        "Choose another --host or --port, or end what listens there.";
    SERVER_LIMIT = "E1602", Input, "A limit of the server lies outside the plan's",
        "The largest batch, the number of sequences and the length of the context are fixed when a plan is compiled; the \
         server may only lower them.",
        "Give a smaller value, or compile the model with larger limits.";
    KEY_FILE = "E1603", Input, "A file with API keys cannot be used",
        "The file named by --api-key-file cannot be read, or has no key in it.",
        "Write a key on each line of the file.";
    SERVED_DIGEST = "E1604", Input, "The plan is not the one that was to be served",
        "The digest given with --digest is not the plan's.",
        "Serve the plan of that digest, or change --digest.";
    SERVER_THREAD = "E1605", Environment, "A thread of the server cannot be started",
        "The system refused a thread.",
        "Allow more processes and memory (ulimit -u, ulimit -v).";
    ENGINE_BROKEN = "E1606", Bug, "The engine's thread broke off",
        "A thread of the server ended in a way that it never should.",
        "Please report it with the server's log.";
    INTRICATE_FORM = "E1607", Input, "The form of an answer is too intricate",
        "An answer was to have a form whose automaton takes more memory than the server gives it.",
        "Ask for a simpler schema or expression.";
    STATE_FILE = "E1608", Environment, "The judge's memory cannot be read or written",
        "The file named by --state holds what the judge remembers over restarts; the system refused it, or it is damaged.",
        "Give another --state, or remove the file to begin anew.";
    OTHER_BASELINE = "E1609", Input, "The baseline is of another model",
        "A plan is judged by a baseline that was compiled from the same files of the same checkpoint, with the same tokenizer, \
         and that takes sequences as long and steps as large.",
        "Compile the baseline from the plan's own checkpoint.";
    LOAD_TEST = "E1610", Environment, "A load test cannot be done",
        "The server that load was to be put on cannot be reached, does not name its models, or a file of results cannot be read \
         or written.",
        "Check --base-url and --api-key, and give files that --json has written.";
}
