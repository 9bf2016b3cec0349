/// Why a request cannot be explained.
package struct ExplanationError: Error, CustomStringConvertible {
    /// What is wrong, and what to ask instead.
    package let description: String
}
