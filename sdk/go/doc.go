// Package forebay is for stages of Forebay pipelines written in Go.
//
// A stage is a type with the methods of its role, [Producer], [Consumer] or [ProducerConsumer], and
// a main that hands its constructor over:
//
//	type Greeter struct{ greeting string }
//
//	type Config struct{ Greeting string }
//
//	func newGreeter(context forebay.Context[Config]) (*Greeter, error) {
//		return &Greeter{greeting: context.Config.Greeting}, nil
//	}
//
//	func (g *Greeter) HandleEvents(delivery *forebay.Delivery) error {
//		for event := range delivery.Events() {
//			forebay.Infof("%s, %s!", g.greeting, event.Payload)
//		}
//		return nil
//	}
//
//	func main() { forebay.RunConsumer(newGreeter) }
//
// `forebay build` compiles it into a WebAssembly component, `forebay test` runs its tests natively;
// for those see package [forebay.dev/sdk/forebaytest].
//
// The host makes one call at a time, so a stage needs no locks. A call that panics is logged with
// its message and place and ends the instance; the host starts another one and delivers again what
// was not acknowledged. Goroutines run only while a call does.
package forebay
