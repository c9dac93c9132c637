"""Models on a cloud's platform, Amazon Bedrock and Google Vertex AI: its paths, bodies, signatures, streams, errors."""
