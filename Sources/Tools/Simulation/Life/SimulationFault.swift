/// A promise that was not kept.
package struct SimulationFault: Error, CustomStringConvertible, Sendable {
    /// The observation, as one sentence.
    package let description: String
    /// The sector of the array that is affected, if it is one.
    let sector: Int?

    init(_ description: String, sector: Int? = nil) {
        self.description = description
        self.sector = sector
    }
}
