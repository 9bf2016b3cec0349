/// Why a load could not be run to its end.
package struct LoadError: Error, CustomStringConvertible, Equatable {
    /// One sentence.
    package let description: String

    init(_ description: String) { self.description = description }
}
