// Tests of NBDProtocol.
