// Tests of NBDServer.
