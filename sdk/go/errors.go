package forebay

import "errors"

// StageError says what the host is to do about a call that failed as a whole. [Retry] and [Fatal]
// make one; a handler may wrap it further with %w.
type StageError struct {
	cause error
	retry bool
}

// Retry marks an error as a passing trouble: the host makes the call again, later.
//
// An error that is marked neither by Retry nor by [Fatal] goes to the host as "other", which it
// treats as fatal.
func Retry(cause error) error { return &StageError{cause: cause, retry: true} }

// Fatal marks an error after which the stage cannot go on: the host ends this instance and applies
// the stage's restart policy.
func Fatal(cause error) error { return &StageError{cause: cause} }

// Error is the text of the cause.
func (e *StageError) Error() string { return e.cause.Error() }

// Unwrap gives the cause.
func (e *StageError) Unwrap() error { return e.cause }

// ErrorKind is what the host is told to do about an error.
type ErrorKind uint8

// The kinds, numbered as the cases of `stage-error` in stage.wit.
const (
	// KindRetry has the host make the call again, later.
	KindRetry ErrorKind = iota
	// KindFatal ends the instance.
	KindFatal
	// KindOther is any other error; the host treats it as fatal.
	KindOther
)

// KindOf tells what the host makes of an error that a handler returned.
func KindOf(err error) ErrorKind {
	var marked *StageError
	switch {
	case !errors.As(err, &marked):
		return KindOther
	case marked.retry:
		return KindRetry
	default:
		return KindFatal
	}
}

func (k ErrorKind) String() string {
	return [...]string{"retry", "fatal", "other"}[k]
}
