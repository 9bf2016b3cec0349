// Tests of Style.
