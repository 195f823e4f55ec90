// verify model
// A function without a body.
func.func private @forward()
