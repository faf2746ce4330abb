"""Media to text: captions, text in pictures, transcripts."""
