package forebay

import (
	"fmt"
	"unicode/utf8"
)

// Ask asks a source, by its name in the pipeline, for count further events. It is for a consuming stage that decides
// itself when it wants more.
//
// forebay.toml lists "demand" under `optional`, and the pipeline file subscribes to the source with `ask = "manual"`: of
// it nothing comes but what is asked for here, in as many calls of HandleEvents as the source makes of it.
//
// It may be called in the constructor and in every call of a [Consumer] or [ProducerConsumer] but Terminate, and
// counts once that call has succeeded. At most the subscription's `max_demand` is open at
// a time, asked for and not handed over. What was asked for stays asked for when the source moves to another node. A
// fresh instance asks anew, in its constructor: what is still open of a former one on the same node is part of it.
//
// The error, made by [Fatal], says that there is no such subscription; nothing is asked for then. In a test what is asked
// for goes to the harness of package forebaytest, where every source may be asked.
func Ask(source string, count uint32) error {
	if !utf8.ValidString(source) {
		return Fatal(fmt.Errorf("%q cannot be asked; expected the name of a source, in UTF-8", source))
	}
	if problem := ask(source, count); problem != nil {
		return Fatal(problem)
	}
	return nil
}
