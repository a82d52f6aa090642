package forebay

import (
	"errors"
	"fmt"
	"testing"
)

func TestKindsOfErrorsAreFoundThroughWrapping(t *testing.T) {
	cause := errors.New("the disk is full")
	for _, one := range []struct {
		err  error
		kind ErrorKind
	}{
		{Retry(cause), KindRetry},
		{fmt.Errorf("writing: %w", Retry(cause)), KindRetry},
		{Fatal(cause), KindFatal},
		{errors.Join(errors.New("other"), Fatal(cause)), KindFatal},
		{cause, KindOther},
	} {
		want(t, KindOf(one.err), one.kind)
		want(t, errors.Is(one.err, cause), true)
	}
	want(t, fmt.Errorf("writing: %w", Retry(cause)).Error(), "writing: the disk is full")
}
