// verify model
// One function too many.
module {
  func.func private @a()
  func.func private @b()
}
