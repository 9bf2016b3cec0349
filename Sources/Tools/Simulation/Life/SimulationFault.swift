/// A promise that was not kept.
package struct SimulationFault: Error, CustomStringConvertible, Sendable {
    /// What was seen.
    package let description: String
    /// The sector of the array that it is about.
    let sector: Int?

    init(_ description: String, sector: Int? = nil) {
        self.description = description
        self.sector = sector
    }
}
