/// One layer's part in a request.
package struct Layer: Codable, Equatable, Sendable {
    /// A limit that the layer obeys.
    package struct Limit: Codable, Equatable, Sendable {
        /// The limit's registry key.
        package var key: String
        /// The value in force; nil for no limit.
        package var value: UInt64?
        /// Where the value comes from, and what is special about it.
        package var note: String
    }

    /// A check that every task must pass.
    package struct Gate: Codable, Equatable, Sendable {
        package var name: String
        /// What the gate did.
        package var verdict: Verdict
        /// The reason, with numbers.
        package var detail: String
    }

    /// What a gate did with the request's stages.
    package enum Verdict: String, Codable, Sendable {
        case passes
        case refuses
        /// No stage reached this gate.
        case notReached = "not reached"
    }

    /// The object's class, as IORegistryExplorer shows it.
    package var object: String
    /// What it does, in a few words.
    package var role: String
    /// Sentences about the request at this layer.
    package var statements: [String]
    /// The limits that the layer obeys.
    package var limits: [Limit] = []
    /// The layer's checks, in their order.
    package var gates: [Gate] = []
}
