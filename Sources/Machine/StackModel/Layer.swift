/// What one layer of the stack has to say of a request.
package struct Layer: Codable, Equatable, Sendable {
    /// A limit that the layer obeys.
    package struct Limit: Codable, Equatable, Sendable {
        package var key: String
        /// Nil for no limit.
        package var value: UInt64?
        package var note: String
    }

    /// Something that the layer asks of every task.
    package struct Gate: Codable, Equatable, Sendable {
        package var name: String
        package var verdict: Verdict
        package var detail: String
    }

    /// What a gate did with the request's stages.
    package enum Verdict: String, Codable, Sendable {
        case passes
        case refuses
        /// Nothing came as far as this gate.
        case notReached = "not reached"
    }

    /// The object's class, as IORegistryExplorer shows it.
    package var object: String
    /// What it does, in a few words.
    package var role: String
    package var statements: [String]
    package var limits: [Limit] = []
    package var gates: [Gate] = []
}
