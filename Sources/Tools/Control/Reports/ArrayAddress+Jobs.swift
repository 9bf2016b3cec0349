import Platform

extension ArrayAddress {
    /// Asks for a change that ends at once, and shows the answer.
    ///
    /// - Parameter request: made of the array's directory as its server knows it.
    /// - Throws: as `ControlClient.change`.
    package func tell(_ request: (String) throws -> ControlRequest) throws {
        show(ForeignText(try client.change(request(resolved())).message).description)
    }

    /// Adds, replaces or fails a member, and shows the rebuild that this causes.
    ///
    /// - Throws: as `JobProgress.runMemberChange`.
    package func change(_ request: (String) throws -> ControlRequest) throws {
        try JobProgress(client).runMemberChange(request(resolved()))
    }

    /// Runs a check or a repair, and shows its progress and result.
    ///
    /// - Throws: as `JobProgress.runParityJob`.
    package func findsWrongParity(_ request: (String) throws -> ControlRequest) throws -> Bool {
        try JobProgress(client).runParityJob(request(resolved()))
    }
}
