module conformance

go 1.25

require forebay.dev/sdk v0.1.0

replace forebay.dev/sdk => ./.forebay/sdk/go
