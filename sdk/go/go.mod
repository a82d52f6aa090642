module forebay.dev/sdk

go 1.25
