package forebay

import "fmt"

// Level is how much a log line matters.
type Level uint8

// The levels, numbered as in stage.wit.
const (
	// LevelTrace is for each step, to follow one event.
	LevelTrace Level = iota
	// LevelDebug is for the author of the stage.
	LevelDebug
	// LevelInfo is for whoever runs it, when all is well.
	LevelInfo
	// LevelWarn: something is off; the stage goes on.
	LevelWarn
	// LevelError: something failed.
	LevelError
)

func (l Level) String() string {
	return [...]string{"trace", "debug", "info", "warn", "error"}[l]
}

// Log writes one line to the node's log, which tags it with the stage and the node.
//
// The host cuts a line at 8 KiB, escapes control characters, and drops lines of a stage that logs
// too fast. In a test the line goes to the harness of package forebaytest.
func Log(level Level, message string) { writeLog(level, message) }

// Tracef logs a line at level trace, formatted as by [fmt.Sprintf].
func Tracef(format string, args ...any) { Log(LevelTrace, fmt.Sprintf(format, args...)) }

// Debugf logs a line at level debug, formatted as by [fmt.Sprintf].
func Debugf(format string, args ...any) { Log(LevelDebug, fmt.Sprintf(format, args...)) }

// Infof logs a line at level info, formatted as by [fmt.Sprintf].
func Infof(format string, args ...any) { Log(LevelInfo, fmt.Sprintf(format, args...)) }

// Warnf logs a line at level warn, formatted as by [fmt.Sprintf].
func Warnf(format string, args ...any) { Log(LevelWarn, fmt.Sprintf(format, args...)) }

// Errorf logs a line at level error, formatted as by [fmt.Sprintf]. It returns nothing; an error to
// return is made by [fmt.Errorf].
func Errorf(format string, args ...any) { Log(LevelError, fmt.Sprintf(format, args...)) }
