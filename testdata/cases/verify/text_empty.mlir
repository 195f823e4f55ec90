// verify model
// No function.
module {
}
